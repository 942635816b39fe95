#!/usr/bin/env bash
# Installs the servers that the integration suite runs Longshore against, from Debian's packages.
# Azurite is not among them: the suite itself installs it (test/servers/azurite.ts).
set -euo pipefail

packages=(
  # S3: Ceph's RADOS Gateway, and Swift.
  ceph-mon ceph-osd radosgw ceph-common
  swift-proxy swift-account swift-container swift-object memcached
  postgresql
  # The load balancer in front of several nodes.
  nginx
  # For a node whose clock is wrong, and for a database that asks for certificates.
  faketime openssl
)

exec "$(dirname "$0")/install-packages.sh" "${packages[@]}"
