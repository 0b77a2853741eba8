"""What the recordings of the real service found on the instance that they were made on."""
