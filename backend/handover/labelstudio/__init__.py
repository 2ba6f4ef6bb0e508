"""Label Studio: the only code that knows its JSON and XML."""
