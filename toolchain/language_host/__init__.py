"""A Pulumi language host for Python, for where the official one cannot be downloaded.

The engine starts it as pulumi-language-python. It answers the LanguageRuntime service (the SDK's language.proto) and
runs programs, policy packs and component packages in their virtual environments.
"""
