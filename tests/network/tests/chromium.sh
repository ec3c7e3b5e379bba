# Chromium without a window through a proxy; prints the page. Its own list of authorities is in $HOME.
# chromium.sh PROXY URL AUTHORITY
set -e
HOME=$(mktemp -d); export HOME
mkdir -p "$HOME/.pki/nssdb"
certutil -d "sql:$HOME/.pki/nssdb" -N --empty-password
certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n workplace -i "$3"
program=$(command -v chromium || command -v google-chrome)
# No sandbox of its own: it is in one already, without any right, and shows one page of ours.
"$program" --headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
  --disable-component-update --disable-dev-shm-usage --user-data-dir="$HOME/profile" --proxy-server="$1" --timeout=15000 --dump-dom "$2" 2>"$HOME/said" ||
  { cat "$HOME/said" >&2; exit 1; }
