#!/bin/bash
# SPDX-License-Identifier: MIT
# Each query of the Grafana dashboard, asked of a real Prometheus that scrapes a running daemon, has an answer.
. "$(dirname "$0")/../lib.sh"
require_root jq prometheus promtool curl python3
grep -q '^#define WITH_HTTP' "$build/config.h" || skip_all "built without HTTP"
dashboard=$src/conf/grafana-dashboard.json

check "the dashboard is JSON" jq -e '.panels | length > 10' "$dashboard"
is "$(jq -r '[.panels[] | select(.type != "row" and ((.description // "") == "" or (.targets | length) == 0))] | length' "$dashboard")" 0 \
	"each panel has a description and a query"
sed -n 's/^METRIC([A-Z_]*, "\([a-z0-9_]*\)".*/bpflowd_\1/p' "$src/exporter/metrics.def" | sort >"$work/metrics"
jq -r '.. | .expr? // empty' "$dashboard" | grep -o 'bpflowd_[a-z0-9_]*' | sed 's/_seconds_\(bucket\|sum\|count\)$/_seconds/' |
	sort -u >"$work/used"
is "$(comm -13 "$work/metrics" "$work/used")" "" "it asks for metrics that there are"
# octets go with packets everywhere, what waits is seen as bytes
is "$(comm -23 "$work/metrics" "$work/used" | grep -v '_octets\|_queued_flows\|_exported_flows_total')" "" "and for all of them"

netns_add a b
veth_pair a veth0 b veth1
connect_ends a veth0 10.64.0.1 b veth1 10.64.0.2 24
cat >"$work/bpflowd.yaml" <<-END
	exporter:
	  template_dir: $src/templates
	  control_socket: $work/control.sock
	metering:
	  interfaces: [veth1]
	  drain_interval: 100ms
	  idle_timeout: 500ms
	collectors:
	  - name: file
	    file: $work/flows.ipfix
	  - name: udp
	    address: 127.0.0.1
END
cat >"$work/prometheus.yaml" <<-END
	global: {scrape_interval: 500ms, scrape_timeout: 500ms}
	scrape_configs:
	  - job_name: bpflowd
	    static_configs: [{targets: ["127.0.0.1:9469"]}]
END
check "promtool likes the configuration" promtool check config "$work/prometheus.yaml"
daemon_start b "$work/bpflowd.yaml"
wait_for 5 attached veth1
spawn b "$work/prometheus.log" prometheus --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/tsdb" \
	--web.listen-address=127.0.0.1:9090 --log.level=warn
api() { in_ns b curl -sfG "http://127.0.0.1:9090/api/v1/$1" "${@:2}"; }
ask() { api query --data-urlencode "query=$1"; }
answers() { ask "$1" | jq -e '.data.result | length > 0'; }
wait_for 30 answers bpflowd_build_info || bail "prometheus does not scrape: $(tail -5 "$work/prometheus.log")"

# A DNS server and a TCP server at one end; questions, one of them never answered, and connections from the other.
spawn a "$work/server.log" python3 -c 'import socket, threading
def dns():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.64.0.1", 53))
    while True:
        q, who = s.recvfrom(512)
        s.sendto(q[:2] + b"\x81\x80" + q[4:], who)
threading.Thread(target=dns, daemon=True).start()
t = socket.create_server(("10.64.0.1", 80))
while True: t.accept()[0].close()'
wait_for 5 udp_bound a 53
traffic() {
	in_ns b python3 -c 'import socket
q = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3net\0\0\1\0\1"
for i in range(5):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(("10.64.0.1", 53)); s.send(q); s.recv(512)
    socket.create_connection(("10.64.0.1", 80), 2).recv(1)' || bail "no DNS or TCP"
	send a veth0 --dst-mac "$(mac_of b veth1)" --src 10.64.0.1 --dst 10.64.0.2 --packets 500 --flows 50
}
more() { traffic && [[ $(ask 'rate(bpflowd_rtt_seconds_count{side="server"}[10s]) > 0' | jq '.data.result | length') -gt 0 ]]; }
check "Prometheus sees the traffic" wait_for 30 more

while IFS= read -r query; do
	real=${query//\$__rate_interval/10s}
	real=${real//\$instance/.*}
	check "answer: ${query:0:110}" answers "$real"
done < <(jq -r '.. | .expr? // empty' "$dashboard")
number() { ask "$1" | jq -r '.data.result[0].value[1]'; }
for name in dns_latency rtt drain_duration; do
	check "$name: a number" test "$(number "histogram_quantile(0.5, sum by (le) (rate(bpflowd_${name}_seconds_bucket[20s])))")" != NaN
done
check "packets were dropped here and are seen" answers 'sum by (reason) (bpflowd_dropped_packets_total) > 0'
check "the variable has a value" sh -c "nsenter --net=/run/netns/$id-b curl -sfG http://127.0.0.1:9090/api/v1/label/instance/values \
	--data-urlencode 'match[]=bpflowd_build_info' | jq -e '.data == [\"127.0.0.1:9469\"]'"
in_ns b curl -sf http://127.0.0.1:9469/metrics >"$work/text"
check "promtool check metrics" promtool check metrics <"$work/text"
check "SIGTERM ends the daemon with status 0" daemon_stop
done_testing
