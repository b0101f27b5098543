"""App Connections for Django: connect organizations to Microsoft Azure."""
