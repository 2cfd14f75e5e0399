#!/bin/sh
# usage: tools/pip_install.sh PIP_ARGUMENT...
# Installs Python wheels into .venv, which it makes first if there is none.
set -eu

[ -x .venv/bin/pip ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install -q --disable-pip-version-check "$@"
