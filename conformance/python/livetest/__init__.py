"""What azure-eventhub's own live tests need from a namespace in Azure, from the subject."""
