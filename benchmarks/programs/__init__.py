"""Programs that the harness starts in processes of their own, some of them in the environments of peers."""
