"""How fast the attack runs, how fast others' do, and what a defence costs."""
