"""What happens in processes of their own, apart from the server: one table, and how each is asked for."""
