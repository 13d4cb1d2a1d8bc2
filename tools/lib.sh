#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

# Functions for the scripts in this directory; to be sourced.
#
# say, find_python, ensure_packages and ensure_venv write to standard error
# what they do.  None of them asks a question.

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$PROJECT/build

# The network may fail for a while.
export PIP_RETRIES=${PIP_RETRIES:-10}
export PIP_DEFAULT_TIMEOUT=${PIP_DEFAULT_TIMEOUT:-60}

# An interrupt ends the script, and not only what it runs at that moment.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
    printf '== %s\n' "$*" >&2
}

# find_python: the path of a Python that can make virtual environments.
#
# The first that is 3.10 or newer and has venv and ensurepip, which Debian
# packages apart.  The distribution's own comes first: the agent runs as an
# unprivileged user, who cannot use a Python in somebody's home directory.
find_python() {
    local name
    for name in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            command -v "$name"
            return 0
        fi
    done
    say 'no Python 3.10 or newer with venv and ensurepip was found'
    return 1
}

# bindep_packages PROFILE...: the Debian packages that bindep.txt names for
# the profiles.
bindep_packages() {
    awk -v wanted="$*" '
        BEGIN { count = split(wanted, list, " ")
                for (i = 1; i <= count; i++) asked[list[i]] = 1 }
        { sub(/#.*/, "") }
        !NF { next }
        {
            package = $1
            profiles = match($0, /\[[^]]*\]/) \
                ? substr($0, RSTART + 1, RLENGTH - 2) : ""
            on_platform = in_profile = -1
            count = split(profiles, list, " ")
            for (i = 1; i <= count; i++) {
                if (list[i] ~ /^platform:/) {
                    if (on_platform < 0) on_platform = 0
                    if (list[i] ~ /^platform:(dpkg|debian|ubuntu)$/)
                        on_platform = 1
                } else {
                    if (in_profile < 0) in_profile = 0
                    if (list[i] in asked) in_profile = 1
                }
            }
            if (on_platform && in_profile) print package
        }' "$PROJECT/bindep.txt"
}

# ensure_packages PROFILE...: install what is missing of bindep.txt's packages.
#
# Fails, having said what is missing, when it may not or cannot install.
ensure_packages() {
    local package log missing=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null
    then
        say 'no Debian or Ubuntu: the packages of bindep.txt must be there'
        return 0
    fi
    for package in $(bindep_packages "$@"); do
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" \
                2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if [[ $EUID -ne 0 ]]; then
        say 'missing, and only root can install it: apt-get install' \
            "--no-install-recommends ${missing[*]}"
        return 1
    fi
    say "installing ${missing[*]}"
    mkdir -p "$BUILD/log"
    log=$BUILD/log/apt.log
    # A stale list is no reason to give up: the packages may still be there.
    persistently apt_get update >"$log" 2>&1 \
        || say "apt-get update failed, see build/log/apt.log"
    if ! persistently apt_get install --yes --no-install-recommends \
            "${missing[@]}" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say 'apt-get install failed, the whole of it is in build/log/apt.log'
        return 1
    fi
}

# quietly LOG WORD...: run a command whose output goes to build/log/LOG, and
# show its last lines if it fails.
quietly() {
    local name=$1
    shift
    mkdir -p "$BUILD/log"
    if ! "$@" </dev/null >"$BUILD/log/$name" 2>&1; then
        tail -n 20 "$BUILD/log/$name" >&2
        say "failed, the whole of it is in build/log/$name: ${*:1:6}"
        return 1
    fi
}

# persistently WORD...: run a command that uses the network, and once more
# when it has failed.
persistently() {
    "$@" && return 0
    say "once more, in 10 s: $*"
    sleep 10
    "$@"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null
}

# ensure_venv DIRECTORY COMMAND REQUIREMENT...: a virtual environment with the
# requirements in it.
#
# One that is there stays as it is if its COMMAND answers to --version.
ensure_venv() {
    local directory=$1 command=$2 python
    shift 2
    if "$directory/bin/$command" --version >/dev/null 2>&1; then
        return 0
    fi
    python=$(find_python) || return 1
    say "making ${directory#"$PROJECT/"} with $("$python" --version 2>&1)"
    "$python" -m venv --clear "$directory" </dev/null >&2 || return 1
    quietly "pip-$(basename "$directory").log" persistently \
        "$directory/bin/python" -m pip install \
        --disable-pip-version-check --use-pep517 "$@"
}

# trust_checkout: let pbr read the version from git.
#
# A checkout of another user's is refused by git unless it is named as safe,
# and a tree without git has no version at all.  Only this process and its
# children are told; no configuration is written.
trust_checkout() {
    if git -C "$PROJECT" rev-parse HEAD >/dev/null 2>&1; then
        return 0
    fi
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory \
        GIT_CONFIG_VALUE_0=$PROJECT
    if ! git -C "$PROJECT" rev-parse HEAD >/dev/null 2>&1; then
        unset GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_VALUE_0
        PBR_VERSION=$(sed -n 's/^version = //p' "$PROJECT/setup.cfg").dev0
        export PBR_VERSION
        say "no git history here: taking version $PBR_VERSION"
    fi
}

# debian_mirror: the address of Debian's mirror in this machine's apt sources,
# or MEMSTAT_MIRROR.
debian_mirror() {
    local mirror
    if [[ -n ${MEMSTAT_MIRROR:-} ]]; then
        printf '%s\n' "$MEMSTAT_MIRROR"
        return 0
    fi
    # Of Debian's own release: another vendor's suite has another name.
    mirror=$(
        # shellcheck disable=SC1091
        source /etc/os-release
        [[ $ID == debian ]] || exit 0
        apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
            'Created-By: Packages' 2>/dev/null \
            | awk -v release="$VERSION_CODENAME" \
                '$1 == release && $2 == "main" { print $3; exit }')
    if [[ -z $mirror ]]; then
        say "apt's sources name no mirror of Debian: set MEMSTAT_MIRROR"
        return 1
    fi
    printf '%s\n' "$mirror"
}
