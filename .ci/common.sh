# What .ci/run, .ci/soak and .ci/wheel share; sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export CI=true PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
# Where tests leave what is to be looked at: a browser's screenshot.
export TXNODETLS_ARTEFACTS=$root/build/artefacts
unset PYTHONPATH PYTHONWARNINGS NODE_OPTIONS NODE_EXTRA_CA_CERTS SSLKEYLOGFILE

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

title= begun=$SECONDS
# Begin a section; the one before it is closed with its time.
section() {
  section_end
  title=$1 begun=$SECONDS
  printf '\n=== %s\n' "$title"
}
section_end() {
  [ -z "$title" ] || printf '=== %s: %d s\n' "$title" $((SECONDS - begun))
  title=
}

# abreast COMMAND...: run COMMAND with each line of the input as its last arguments, two at a time,
# and show what each has printed when it is over.  Fails if one fails; all are run all the same.
abreast() {
  # shellcheck disable=SC2016
  xargs -d '\n' -P 2 -I LINE bash -c '
    log=$(mktemp "$0/abreast.XXXXXX") status=0 begun=$SECONDS line=$1
    shift
    # shellcheck disable=SC2086
    "$@" $line >"$log" 2>&1 </dev/null || status=$?
    exec 9>>"$0/abreast.lock"
    flock 9
    printf -- "--- %s: %d s, status %d\n" "$line" $((SECONDS - begun)) "$status"
    cat "$log"
    exit "$status"' "$work" LINE "$@"
}

# Every Python from 3.11 on that can be found, one per minor version, lowest first: on PATH,
# and where pyenv keeps its own. A shim that leads nowhere does not answer and is left out.
pythons() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.{11..19} \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    "$candidate" -I -c 'import sys, venv, ensurepip, ssl
if sys.version_info >= (3, 11) and sys.implementation.name == "cpython":
    print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null || true
  done | sort -V -s -u -k1,1
}

# The Python that everything runs on unless said otherwise: PYTHON, python3, or the lowest found.
python=${PYTHON:-python3}
"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  python=$(pythons | head -n 1 | cut -d' ' -f2)
[ -n "$python" ] || { echo "no Python 3.11 or later" >&2; exit 1; }

# Every Python but that one's minor version.
other_pythons() {
  local this
  this=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  pythons | grep -v "^${this//./\\.} " || true
}

# environment DIRECTORY PYTHON [pip arguments...]: a fresh virtual environment.
environment() {
  local directory=$1 interpreter=$2
  shift 2
  "$interpreter" -m venv "$directory"
  "$directory/bin/python" -m pip install -q "$@"
}

# The README's set-up commands, word for word: readme_command daemon, readme_command tests.
readme_command() {
  sed -n "/<!-- command: $1 -->/,/^\`\`\`\$/p" README.md | grep -v -e '^<!--' -e '^```'
}

# Programs that the tests talk to; what is missing is installed where that is possible.
tools() {
  # Each by its package's name, or as program:package.
  local wanted=(
    openssl curl redis-server memcached chromium haproxy nginx tshark
    systemd-analyze:systemd systemd-socket-activate:systemd
  ) missing=() each
  for each in "${wanted[@]}"; do
    command -v "${each%:*}" >/dev/null || missing+=("${each#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || { echo "${wanted[*]%:*}: present"; return; }
  echo "installing: ${missing[*]}"
  local sudo=
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # The servers are for the tests to start; none is to run by itself.
  $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 ||
    { cat "$work/apt.log"; return 1; }
}
