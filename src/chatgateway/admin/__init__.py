"""What an operator or a project's server may do: one function per verb, with all the steps that belong to it."""
