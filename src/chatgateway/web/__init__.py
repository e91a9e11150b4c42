"""The browser: what the gateway serves to visitors' and agents' browsers as files, and a site to try it on."""
