#!/bin/sh
# Installs from Debian's packages what is missing: setup.sh run | test. Without the right to install it says
# which package to install.
set -eu
want=${1:-run}

have_postgres() { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; }
have_rabbitmq() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; }
have_chromium() { [ -x /usr/bin/chromium ] || [ -x /usr/bin/chromium-browser ] || [ -x /usr/bin/google-chrome ]; }

missing=
if [ -z "${TURNWISE_DATABASE_URL:-}" ] || [ "$want" = test ]; then
	have_postgres || missing="$missing postgresql"
fi
if [ "$want" = test ]; then
	have_chromium || missing="$missing chromium"
	have_rabbitmq || missing="$missing rabbitmq-server"
fi
command -v go >/dev/null 2>&1 || {
	echo "Go is missing: install Go 1.26 or newer and run this again." >&2
	exit 1
}
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root="sudo"
else
	echo "Missing:$missing. Install with: apt-get install$missing   (then run this again)" >&2
	exit 1
fi
command -v apt-get >/dev/null 2>&1 || {
	echo "Missing:$missing, and this system has no apt-get: install them by its own means." >&2
	exit 1
}
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
case $missing in
*postgresql*)
	# Only the programs are wanted, not the server that Debian would start.
	$as_root apt-get install -y -qq postgresql-common >/dev/null
	$as_root sed -i 's/^#\? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
	;;
esac
# Nor the broker's; see invoke-rc.d(8).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
	$as_root chmod +x $policy
	trap '$as_root rm -f $policy' EXIT
fi
# shellcheck disable=SC2086
$as_root apt-get install -y -qq $missing >/dev/null
