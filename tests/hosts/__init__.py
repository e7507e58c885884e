"""docs/operations.md, "Two machines and more", typed line by line on machines of their own.

Way in: `host.Host`, `document.block`. What cannot be had there is stood in for, by what its name says: `apt-get` (the
packages are installed here), `make setup` as far as it installs, `scp` (a copy between two machines' folders) and
`systemctl`, which starts the very unit files (`service_manager`).
"""
