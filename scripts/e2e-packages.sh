#!/usr/bin/env bash
# Installs what the end-to-end suite and the benchmarks run against Longshore, from Debian's packages.
set -euo pipefail

packages=(
  # Clients, each of which pushes and pulls.
  skopeo podman buildah docker.io containerd umoci
  # What these need to run a container.
  runc crun iptables netavark
  # Watches the order of system calls.
  strace
  # What the benchmarks compare with, and measure with.
  docker-registry wrk
)

exec "$(dirname "$0")/install-packages.sh" "${packages[@]}"
