"""A stand-in for Microsoft Entra ID and Microsoft Graph, for development and tests."""
