"""Which SQL a label or a rule may be: checks by its tokens and by its syntax tree, before any query is sent."""
