#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs a tagged libmn for a pipeline, below a folder that the pipeline keeps: what is there is not built again.
# Prints the folder of the command mn, and puts it on the PATH of a GitHub job's later steps.
#
#   LIBMN_REPOSITORY=https://host/libmn.git LIBMN_TAG=v0.1.0 sh libmn-install.sh
set -eu

repository=${LIBMN_REPOSITORY:?where libmn comes from}
tag=${LIBMN_TAG:?which version of it}
home=${LIBMN_HOME:-$HOME/.cache/libmn}

if [ ! -x "$home/$tag/bin/mn" ]; then
  source=$(mktemp -d)
  trap 'rm -rf "$source"' EXIT
  git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$tag" "$repository" "$source" >&2
  sh "$source/scripts/setup" build >&2
  make -s -C "$source" -j"$(nproc)" install PREFIX="$home/$tag" >&2
fi

echo "$home/$tag/bin"
if [ -n "${GITHUB_PATH-}" ]; then echo "$home/$tag/bin" >>"$GITHUB_PATH"; fi
