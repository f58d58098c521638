# User data of a fleet's machine; `user_data` puts the settings in front.
#   first boot: makes a service of itself, which goes on at this boot and at every later one
#   serve:      installs what is missing, waits for this machine's own configuration, runs one job, ends the machine
# cloud-init runs it once. A warm machine may be stopped in the midst of it: what serve does, it can do again.
set -euo pipefail
umask 022

say() { printf '%s pavedpath: %s\n' "$(date -u +%FT%TZ)" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

again() { # command…: up to five times
  local try
  for try in 1 2 3 4 5; do
    if "$@"; then return 0; fi
    say "try $try failed: $1"
    sleep "$((try * 2))"
  done
  return 1
}

metadata() { # path: version 2 alone; the token comes by standard input, not by a command line
  local at=http://169.254.169.254/latest token
  token=$(curl -fsS --retry 5 --retry-connrefused -X PUT \
    -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$at/api/token") || return 1
  curl -fsS --retry 5 -H @- "$at/meta-data/$1" <<<"X-aws-ec2-metadata-token: $token"
}

install_packages() {
  local each missing=()
  for each in ${PACKAGES[@]+"${PACKAGES[@]}"}; do
    rpm -q "$each" >/dev/null 2>&1 || missing+=("$each")
  done
  if ((${#missing[@]})); then again dnf install -y -q "${missing[@]}"; fi
}

add_user() {
  id runner >/dev/null 2>&1 || useradd --create-home --shell /bin/bash runner
  if getent group docker >/dev/null; then
    usermod --append --groups docker runner
    systemctl start docker
  fi
}

install_runner() { # an image that brings this version already has it in .version
  local marker=$BASE/runner/.version archive
  if [[ -f $marker && $(<"$marker") == "$RUNNER_VERSION" ]]; then return; fi
  archive=$(mktemp)
  again curl -fsSL --retry 3 --max-time 600 -o "$archive" \
    "https://github.com/actions/runner/releases/download/v$RUNNER_VERSION/actions-runner-linux-$ARCHITECTURE-$RUNNER_VERSION.tar.gz"
  printf '%s  %s\n' "$RUNNER_SHA256" "$archive" | sha256sum --check --status - ||
    die "the archive of runner $RUNNER_VERSION does not have the checksum that is pinned; nothing of it was run"
  rm -rf "$BASE/runner"
  mkdir -p "$BASE/runner"
  tar -xzf "$archive" --no-same-owner -C "$BASE/runner"
  rm -f "$archive"
  printf '%s\n' "$RUNNER_VERSION" >"$marker"
  chown -R runner: "$BASE/runner"
}

install_service() {
  mkdir -p "$BASE"
  cp "$0" "$BASE/machine.sh"
  cat >"$UNITS/pavedpath-runner.service" <<UNIT
[Unit]
Description=GitHub Actions runner of the fleet $FLEET
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart=/bin/bash $BASE/machine.sh serve
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now --no-block pavedpath-runner.service
}

prepare() {
  local wanted=aarch64
  if [[ $ARCHITECTURE == x64 ]]; then wanted=x86_64; fi
  [[ $(uname -m) == "$wanted" ]] || die "this machine is a $(uname -m), and its pool is for $ARCHITECTURE"
  install_packages || die "packages could not be installed: ${PACKAGES[*]}"
  add_user
  install_runner
}

pause() { # try: 1, 2, 3, 5, 8, then 10 seconds, and at random down to half of that
  local seconds=(0 1 2 3 5 8) milliseconds
  milliseconds=$((${seconds[$1]:-10} * (500 + RANDOM % 501)))
  sleep "$((milliseconds / 1000)).$(printf %03d "$((milliseconds % 1000))")"
}

discard() { # region, parameter: whether it is gone, and by this machine
  local try told
  for try in 1 2 3 4 5 6 7 8; do
    if told=$(aws ssm delete-parameter --region "$1" --name "$2" 2>&1); then return 0; fi
    # At the first try another has deleted it; at a later one, the try before has, and its answer was lost.
    if [[ $told == *ParameterNotFound* ]]; then return "$((try == 1))"; fi
    say "try $try to delete the configuration failed: ${told##*$'\n'}"
    pause "$try"
  done
  return 1
}

receive() { # sets `configuration`; it is read once, and gone before anything runs with it
  local instance region parameter deadline problem try=0
  # The tool's own retries come at once, and would hide that its first try has deleted the parameter.
  local -x AWS_MAX_ATTEMPTS=1
  instance=$(metadata instance-id) || die "there is no instance metadata"
  region=$(metadata placement/region) || die "there is no instance metadata"
  parameter=/pavedpath/$FLEET/jit/$instance
  deadline=$((SECONDS + BOOT_MINUTES * 60))
  problem=$(mktemp)
  # It is not there yet, or not readable yet, until the control plane has laid it down: every error is asked again, a
  # throttle too: all machines of an account share SSM's 40 reads a second.
  until configuration=$(aws ssm get-parameter --region "$region" --name "$parameter" --with-decryption \
    --query Parameter.Value --output text 2>"$problem"); do
    ((SECONDS < deadline)) || die "no configuration within $BOOT_MINUTES minutes: $(tail -n 1 "$problem")"
    pause "$((++try))"
  done
  rm -f "$problem"
  # Whoever cannot delete it is not alone with it: another has read it, or the control plane has taken it back.
  discard "$region" "$parameter" || die "the configuration could not be deleted, so it was not used"
}

guard() { # GitHub gives a machine any job that fits its labels: a fork's too, for which none was launched
  local hook=$BASE/before-job.sh
  cat >"$hook" <<'HOOK'
# The agent runs this before a job's first step, and ends the job if it fails (GitHub, "Running scripts before or
# after a job"). What cannot be read is not let in.
/usr/bin/python3 -I - "$GITHUB_EVENT_PATH" <<'PYTHON' || { echo "::error::not the repository's own code"; exit 1; }
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    event = json.load(file)
own = event["repository"]["full_name"] if "repository" in event else None
pull, run = event.get("pull_request"), event.get("workflow_run")
heads = [] if pull is None else [pull["head"]["repo"]]
heads += [] if run is None else [run["head_repository"]]
# A fork that was deleted is null.
sys.exit(any(head is None or head["full_name"] != own for head in heads))
PYTHON
HOOK
  chmod 0644 "$hook"
  export ACTIONS_RUNNER_HOOK_JOB_STARTED=$hook
}

serve() {
  local configuration=''
  # Nobody but this machine might be left to end it.
  shutdown -h "+$((LIFETIME_MINUTES + 15))" || say "the end of its lifetime could not be planned"
  prepare
  receive
  if [[ $ALLOW_FORKS != true ]]; then guard; fi
  say "starting the runner"
  cd "$BASE/runner"
  # The agent takes it from its environment and clears it there (actions/runner, CommandSettings.cs); command lines
  # are for everyone to read.
  ACTIONS_RUNNER_INPUT_JITCONFIG=$configuration setpriv --reuid runner --regid runner --init-groups \
    env HOME=/home/runner USER=runner LOGNAME=runner ./run.sh || say "the runner ended with status $?"
}

ended() {
  say "ending this machine"
  shutdown -h now
}

if [[ ${1:-} == serve ]]; then
  # EC2 stops a warm machine from outside; that is not its end.
  trap 'trap - EXIT; exit 0' TERM
  trap ended EXIT
  serve
else
  trap '[[ $? == 0 ]] || ended' EXIT
  install_service
fi
