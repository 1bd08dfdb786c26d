"""Which cases may skip a person, under a promised error rate that an audit slice keeps watching."""
