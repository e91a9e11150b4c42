"""The admin API: operators' verbs over HTTP, one module per noun, each a table of rows beside its handlers."""
