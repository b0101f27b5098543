"""A stand-in for Microsoft Entra ID, Graph, Key Vault and App Configuration."""
