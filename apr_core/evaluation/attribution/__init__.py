"""Maps of many images, and what they say together: kept in files, held against the weights."""
