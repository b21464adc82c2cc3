#!/usr/bin/env bash
# Private MariaDB and PostgreSQL servers for the tests, on loopback, with their data in a temporary directory.
#
#   eval "$(.ci/databases.sh start)"   installs what is missing (Debian, root), starts both, exports the two DSNs
#   .ci/databases.sh stop              stops them and removes their data
#
# KEYHAUL_DATABASES is the directory that holds them (default: keyhaul-databases in TMPDIR).
# Oracle's MySQL is in Debian's unstable suite only: it is unpacked into that directory with the libraries that it needs,
# and nothing of it is installed. Where it cannot be had that is said, and its tests do not exist in that run;
# KEYHAUL_MYSQL=required makes it an error, KEYHAUL_MYSQL=no does without.
set -euo pipefail

home=${KEYHAUL_DATABASES:-${TMPDIR:-/tmp}/keyhaul-databases}
# Below 32768, where outgoing connections take their ports.
postgres_ports=$(seq 25432 25452)
mariadb_ports=$(seq 23306 23326)

say() { echo "databases: $*" >&2; }

pg_bin() { find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }
maria_bin() { command -v mariadbd || { [ -x /usr/sbin/mariadbd ] && echo /usr/sbin/mariadbd; } || true; }

install_missing() {
	local packages=()
	[ -n "$(maria_bin)" ] || packages+=(mariadb-server)
	[ -n "$(pg_bin)" ] || packages+=(postgresql)
	command -v sqlite3 >/dev/null || packages+=(sqlite3) # whose dumps are read
	[ ${#packages[@]} -gt 0 ] || return 0
	say "installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >&2
	# Keep the packages from starting servers of their own: ours are the only ones that are needed.
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		made=yes
	fi
	apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
	[ -z "$made" ] || rm -f $policy
}

free_port() {
	local port
	for port in "$@"; do
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
	say "no free port among $*"
	return 1
}

# wait_for NAME COMMAND... runs the command until it succeeds, for a minute.
wait_for() {
	local name=$1
	shift
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.2
	done
	say "$name does not answer; the end of its log:"
	tail -n 20 "$home/$name.log" >&2 || true
	return 1
}

as() { # as USER COMMAND...
	local user=$1
	shift
	if [ "$(id -un)" = "$user" ]; then "$@"; else runuser -u "$user" -- "$@"; fi
}

start_postgres() {
	local bin port dir=$home/postgres
	bin=$(pg_bin)
	port=$(free_port $postgres_ports)
	install -d -o postgres -g postgres -m 700 "$dir"
	(cd "$dir" && as postgres "$bin/initdb" -D "$dir/data" -U keyhaul --auth=trust --encoding=UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1) ||
		{ cat "$dir/initdb.log" >&2; return 1; }
	touch "$home/postgres.log" && chown postgres "$home/postgres.log"
	(cd "$dir" && as postgres "$bin/pg_ctl" -D "$dir/data" -l "$home/postgres.log" -w -t 60 -o \
		"-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off -c synchronous_commit=off -c max_connections=200" \
		start >/dev/null 2>&1) || { tail -n 20 "$home/postgres.log" >&2; return 1; }
	wait_for postgres "$bin/pg_isready" -h 127.0.0.1 -p "$port"
	echo "export KEYHAUL_POSTGRES_DSN='postgres://keyhaul@127.0.0.1:$port/postgres?sslmode=disable'" >>"$home/env"
}

# A streaming replica of that server.
start_postgres_replica() {
	local bin port primary dir=$home/postgres-replica
	bin=$(pg_bin)
	primary=$(sed -n "s/^export KEYHAUL_POSTGRES_DSN=.*127.0.0.1:\([0-9]*\).*/\1/p" "$home/env")
	port=$(free_port $postgres_ports)
	install -d -o postgres -g postgres -m 700 "$dir"
	(cd "$dir" && as postgres "$bin/pg_basebackup" -h 127.0.0.1 -p "$primary" -U keyhaul -D "$dir/data" -R -c fast >"$dir/backup.log" 2>&1) ||
		{ cat "$dir/backup.log" >&2; return 1; }
	touch "$home/postgres-replica.log" && chown postgres "$home/postgres-replica.log"
	(cd "$dir" && as postgres "$bin/pg_ctl" -D "$dir/data" -l "$home/postgres-replica.log" -w -t 60 -o \
		"-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off -c max_connections=200" \
		start >/dev/null 2>&1) || { tail -n 20 "$home/postgres-replica.log" >&2; return 1; }
	echo "export KEYHAUL_POSTGRES_REPLICA_DSN='postgres://keyhaul@127.0.0.1:$port/postgres?sslmode=disable'" >>"$home/env"
}

# start_mariadb NAME VARIABLE OPTION... starts one server and exports its DSN.
start_mariadb() {
	local port name=$1 variable=$2 dir=$home/$1
	shift 2
	port=$(free_port $mariadb_ports)
	install -d -o mysql -g mysql -m 700 "$dir"
	touch "$home/$name.log" && chown mysql "$home/$name.log"
	mariadb-install-db --no-defaults --user=mysql --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db \
		>"$dir/install.log" 2>&1 || { cat "$dir/install.log" >&2; return 1; }
	# No output of it may hold on to ours, or the caller's $(...) would wait for the server to end.
	setsid "$(maria_bin)" --no-defaults --user=mysql --datadir="$dir/data" --socket="$dir/sock" --pid-file="$dir/pid" \
		--bind-address=127.0.0.1 --port="$port" --skip-name-resolve --innodb-flush-log-at-trx-commit=0 --max-connections=300 \
		--character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci --log-error="$home/$name.log" "$@" \
		</dev/null >/dev/null 2>&1 &
	wait_for "$name" mariadb-admin --no-defaults --socket="$dir/sock" -u root ping
	mariadb --no-defaults --socket="$dir/sock" -u root -e "
		CREATE DATABASE keyhaul;
		CREATE USER keyhaul@'127.0.0.1' IDENTIFIED BY 'keyhaul';
		GRANT ALL ON *.* TO keyhaul@'127.0.0.1';"
	echo "export $variable='keyhaul:keyhaul@tcp(127.0.0.1:$port)/keyhaul?parseTime=true'" >>"$home/env"
}

# unpack_mysql DIR puts MySQL and everything that it links, the C library included, into DIR/root.
unpack_mysql() {
	local dir=$1 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg deb
	# The mirror that this machine is set up with.
	debian_mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -n 1; }
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || { apt-get update -qq >&2 && mirror=$(debian_mirror); } || return 1
	[ -n "$mirror" ] && [ -e "$keyring" ] || { say "no Debian mirror is set up"; return 1; }
	mkdir -p "$dir"/apt/lists/partial "$dir"/apt/archives/partial "$dir"/apt/none "$dir"/root
	printf 'Types: deb\nURIs: %s\nSuites: unstable\nComponents: main\nSigned-By: %s\n' "$mirror" "$keyring" >"$dir/apt/unstable.sources"
	: >"$dir/apt/status" # as if nothing was installed, so that all that it needs comes along
	printf '%s "%s";\n' Dir::Etc::sourcelist "$dir/apt/unstable.sources" Dir::Etc::sourceparts "$dir/apt/none" \
		Dir::State::lists "$dir/apt/lists" Dir::State::status "$dir/apt/status" \
		Dir::Cache::archives "$dir/apt/archives" Dir::Cache::pkgcache "" Dir::Cache::srcpkgcache "" >"$dir/apt/apt.conf"
	APT_CONFIG=$dir/apt/apt.conf apt-get update -qq >&2 || return 1
	APT_CONFIG=$dir/apt/apt.conf apt-get install -y -qq --no-install-recommends --download-only mysql-server-core >/dev/null || return 1
	for deb in "$dir"/apt/archives/*.deb; do
		case $deb in */perl* | */libperl*) continue ;; esac # for its scripts
		dpkg -x "$deb" "$dir/root" || return 1
	done
	rm -rf "$dir/apt"
}

start_mysql() {
	local port dir=$home/mysql root loader lib
	unpack_mysql "$dir" || return 1
	root=$dir/root
	loader=$(find "$root/usr/lib" -mindepth 2 -maxdepth 2 -name 'ld-linux-*' | head -n 1)
	[ -n "$loader" ] || { say "no loader came with MySQL"; return 1; }
	lib=$(dirname "$loader")
	local server=("$loader" --library-path "$lib:$lib/private" "$root/usr/sbin/mysqld" --no-defaults --user=mysql --basedir="$root/usr"
		--lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets" --secure-file-priv=NULL --datadir="$dir/data")
	chown mysql:mysql "$dir"
	touch "$home/mysql.log" && chown mysql "$home/mysql.log"
	"${server[@]}" --initialize-insecure >"$dir/install.log" 2>&1 || { cat "$dir/install.log" >&2; return 1; }
	port=$(free_port $mariadb_ports) || return 1
	setsid "${server[@]}" --socket="$dir/sock" --pid-file="$dir/pid" --bind-address=127.0.0.1 --port="$port" --mysqlx=OFF \
		--skip-name-resolve --collation-server=utf8mb4_general_ci --skip-log-bin --innodb-flush-method=nosync --innodb-doublewrite=OFF --innodb-flush-log-at-trx-commit=0 --max-connections=300 \
		</dev/null >"$home/mysql.log" 2>&1 &
	wait_for mysql mariadb-admin --no-defaults --socket="$dir/sock" -u root ping || return 1
	mariadb --no-defaults --socket="$dir/sock" -u root -e "
		CREATE DATABASE keyhaul;
		CREATE USER keyhaul@'127.0.0.1' IDENTIFIED BY 'keyhaul';
		GRANT ALL ON *.* TO keyhaul@'127.0.0.1';" || return 1
	echo "export KEYHAUL_ORACLE_MYSQL_DSN='keyhaul:keyhaul@tcp(127.0.0.1:$port)/keyhaul?parseTime=true'" >>"$home/env"
}

start() {
	if [ -e "$home/env" ]; then
		say "already started"
		cat "$home/env"
		return
	fi
	[ "$(id -u)" = 0 ] || { say "must be root"; return 1; }
	install_missing
	mkdir -p "$home"
	chmod 755 "$home"
	trap 'stop; echo false' EXIT # so that eval fails where we did
	start_postgres
	start_postgres_replica
	start_mariadb mariadb KEYHAUL_MYSQL_DSN
	# There a lock time-out rolls the whole transaction back, which can be set only at the start.
	start_mariadb mariadb-rollback KEYHAUL_MYSQL_ROLLBACK_DSN --innodb-rollback-on-timeout=ON --innodb-buffer-pool-size=32M \
		--server-id=1 --log-bin=binlog --binlog-format=ROW
	# And this is a replica of that one.
	start_mariadb mariadb-replica KEYHAUL_MYSQL_REPLICA_DSN --innodb-buffer-pool-size=32M --server-id=2
	mariadb --no-defaults --socket="$home/mariadb-replica/sock" -u root -e "
		CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_USER='keyhaul', MASTER_PASSWORD='keyhaul', MASTER_USE_GTID=no, MASTER_CONNECT_RETRY=1,
			MASTER_PORT=$(sed -n "s/^export KEYHAUL_MYSQL_ROLLBACK_DSN=.*127.0.0.1:\([0-9]*\).*/\1/p" "$home/env"), MASTER_LOG_FILE='$(
			mariadb --no-defaults --socket="$home/mariadb-rollback/sock" -u root -N -e 'SHOW MASTER STATUS' | cut -f 1)', MASTER_LOG_POS=$(
			mariadb --no-defaults --socket="$home/mariadb-rollback/sock" -u root -N -e 'SHOW MASTER STATUS' | cut -f 2);
		SET GLOBAL read_only = ON;
		START SLAVE;"
	if [ "${KEYHAUL_MYSQL:-}" != no ] && ! start_mysql; then
		[ "${KEYHAUL_MYSQL:-}" != required ] || return 1
		say "NO MYSQL: Debian's unstable suite does not give it now. Only MariaDB is tested."
	fi
	trap - EXIT
	cat "$home/env"
}

stop() {
	[ -d "$home" ] || return 0
	local dir
	for dir in "$home"/postgres-replica "$home"/postgres; do
		[ -d "$dir/data" ] || continue
		(cd "$dir" && as postgres "$(pg_bin)/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1) || true
	done
	local pid pid_file
	for pid_file in "$home"/m*/pid; do
		[ -s "$pid_file" ] || continue
		pid=$(cat "$pid_file")
		kill "$pid" 2>/dev/null || true
		for _ in $(seq 100); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
	done
	rm -rf "$home"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*)
	echo "usage: $0 start|stop" >&2
	exit 2
	;;
esac
