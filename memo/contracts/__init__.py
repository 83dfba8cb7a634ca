"""What others implement: IO managers, version strategies, executors, run stores. No implementation lives here."""
