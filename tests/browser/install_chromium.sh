#!/usr/bin/env bash
# Chromium for the browser tests, where this machine lets it be installed. Without it those tests are reported as
# skipped; with TVILLING_REQUIRE_BROWSER they fail.
set -u
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  # Asked again where the network fails, and after whoever else installs something just now.
  patient=(-qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300)
  said=$(mktemp)
  for _ in 1 2 3; do
    (apt-get "${patient[@]}" update && apt-get "${patient[@]}" install -y --no-install-recommends chromium) >"$said" 2>&1 \
      && rm "$said" && exit 0
    dpkg --configure -a >>"$said" 2>&1  # what an installation that was cut off has left
  done
  tail -5 "$said" >&2
  rm "$said"
fi
echo "No Chromium here, and it cannot be installed: the browser tests will be skipped." >&2
exit 0
