"""How fast the attack runs, and how fast others' do."""
