"""What is asked of others: mail, key sets, webhooks, archives."""
