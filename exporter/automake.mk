# SPDX-License-Identifier: MIT
# Floors 1-3 are libpure.a, 4-5 libexporter.a: unit tests of the lower floors link libpure.a alone, so that a wrong
# dependency does not link.
noinst_LIBRARIES += libpure.a libexporter.a
EXTRA_DIST += exporter/automake.mk

libpure_a_CFLAGS = $(AM_CFLAGS) $(YAML_CFLAGS) $(FIXBUF_CFLAGS)
libpure_a_SOURCES = \
	exporter/cache.c exporter/cache.h exporter/cache_private.h \
	exporter/cache_table.c exporter/cache_tcp.c exporter/cache_wheel.c \
	exporter/merge.h exporter/siphash.h \
	exporter/clock.c exporter/clock.h \
	exporter/dns.c exporter/dns.h \
	exporter/definitions.c exporter/definitions.h \
	exporter/encoder.c exporter/encoder.h exporter/encoder_format.h \
	exporter/field.c exporter/field.h exporter/fields.def \
	exporter/interfaces_match.c \
	exporter/ipfix.c exporter/ipfix.h \
	exporter/log.c exporter/log.h \
	exporter/metrics.c exporter/metrics.h exporter/metrics.def \
	exporter/netflow9.c exporter/netflow9.h \
	exporter/options.c exporter/options.h \
	exporter/options_encode.c exporter/options_encode.h \
	exporter/plan.c exporter/plan.h \
	exporter/reasons.c exporter/reasons.h \
	exporter/record.c exporter/record.h \
	exporter/signals.c exporter/signals.h \
	exporter/settings.c exporter/settings.h \
	exporter/sets.c exporter/sets.h \
	exporter/settings_change.c exporter/settings_collector.c exporter/settings_group.c \
	exporter/settings_option.h exporter/settings_print.c exporter/settings_section.c \
	exporter/settings_table.c exporter/settings_text.c \
	exporter/settings_units.c exporter/settings_units.h exporter/settings_value.c \
	exporter/template.c exporter/template.h \
	exporter/topology.c exporter/topology.h \
	exporter/template_check.c exporter/template_check.h \
	exporter/template_entry.c exporter/template_entry.h \
	exporter/template_match.c \
	exporter/text.c exporter/text.h \
	exporter/type_records.c \
	exporter/wire.h \
	exporter/yaml.c exporter/yaml.h exporter/yaml_error.c exporter/yaml_file.c exporter/yaml_file.h

libexporter_a_CFLAGS = $(AM_CFLAGS) $(LIBBPF_CFLAGS) $(JANSSON_CFLAGS) $(MNL_CFLAGS) $(CAPNG_CFLAGS) $(SECCOMP_CFLAGS) $(CARES_CFLAGS) $(TLS_CFLAGS) $(HTTP_CFLAGS) $(SYSTEMD_CFLAGS)
libexporter_a_SOURCES = \
	exporter/collector.c exporter/collector.h exporter/collector_private.h \
	exporter/collector_account.c exporter/collector_own.c exporter/collector_queue.c exporter/collector_queue.h \
	exporter/collector_send.c exporter/collector_session.c exporter/collector_split.c \
	exporter/control.c exporter/control.h \
	exporter/control_socket.c exporter/control_socket.h \
	exporter/daemon.c exporter/daemon.h exporter/daemon_private.h \
	exporter/daemon_control.c exporter/daemon_flows.c exporter/daemon_meter.c exporter/daemon_report.c exporter/daemon_signals.c \
	exporter/fetcher.c exporter/fetcher.h exporter/fetcher_private.h \
	exporter/fetcher_attach.c exporter/fetcher_clock.c exporter/fetcher_drain.c exporter/fetcher_flags.c exporter/fetcher_retire.c \
	exporter/fetcher_drops.c exporter/fetcher_reasons.c exporter/fetcher_netdev.c exporter/fetcher_signals.c \
	exporter/interfaces.c exporter/interfaces.h \
	exporter/interfaces_device.c exporter/interfaces_device.h \
	exporter/interfaces_link.c exporter/interfaces_link.h \
	exporter/interfaces_message.c exporter/interfaces_message.h \
	exporter/interfaces_netns.c exporter/interfaces_netns.h \
	exporter/outputs.c exporter/outputs.h exporter/outputs_private.h \
	exporter/outputs_group.c exporter/outputs_reload.c \
	exporter/priv.c exporter/priv.h exporter/priv_seccomp.c \
	exporter/report.c exporter/report.h \
	exporter/resolver.c exporter/resolver.h \
	exporter/view_flows.c exporter/view_flows.h exporter/views.c exporter/views.h \
	exporter/transport.c exporter/transport.h exporter/transport_private.h \
	exporter/transport_file.c exporter/transport_sctp.c \
	exporter/transport_tcp.c exporter/transport_stream.h exporter/transport_udp.c
if WITH_TLS
libexporter_a_SOURCES += \
	exporter/transport_dtls.c \
	exporter/transport_gnutls.c exporter/transport_gnutls.h \
	exporter/transport_tls.c
endif
if WITH_HTTP
libexporter_a_SOURCES += exporter/http.c exporter/http.h
endif

pure_libs = $(FIXBUF_LIBS) $(YAML_LIBS) $(GLIB_LIBS) -lm
exporter_libs = $(LIBBPF_LIBS) $(LIBELF_LIBS) $(ZLIB_LIBS) $(JANSSON_LIBS) $(MNL_LIBS) $(CAPNG_LIBS) $(SECCOMP_LIBS) $(CARES_LIBS) $(TLS_LIBS) $(HTTP_LIBS) $(SYSTEMD_LIBS)

sbin_PROGRAMS += exporter/bpflowd
exporter_bpflowd_SOURCES = exporter/arguments.c exporter/arguments.h exporter/main.c
exporter_bpflowd_LDADD = libexporter.a libpure.a $(exporter_libs) $(pure_libs)

bin_PROGRAMS += exporter/bpflowctl
exporter_bpflowctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CURSES_CFLAGS)
exporter_bpflowctl_SOURCES = \
	exporter/ctl.c exporter/ctl.h \
	exporter/ctl_client.c \
	exporter/ctl_format.c exporter/ctl_format.h \
	exporter/ctl_options.c \
	exporter/ctl_page.c exporter/ctl_page.h \
	exporter/ctl_show.c \
	exporter/ctl_table.c exporter/ctl_table.h \
	exporter/ctl_top.c
exporter_bpflowctl_LDADD = $(JANSSON_LIBS) $(CURSES_LIBS) $(GLIB_LIBS)
