# SPDX-License-Identifier: MIT
# Examples go to the documentation, never into sysconfdir: what an administrator wrote there stays.
dist_doc_DATA = README.md conf/bpflowd.yaml conf/quickstart.yaml
EXTRA_DIST += conf/automake.mk conf/bpflowd.service.in conf/bpflowd.sysusers

conf/bpflowd.service: $(srcdir)/conf/bpflowd.service.in Makefile
	@$(MKDIR_P) conf
	$(AM_V_GEN)$(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' -e 's|@docdir[@]|$(docdir)|g' $< > $@.tmp && mv $@.tmp $@
CLEANFILES += conf/bpflowd.service
if INSTALL_UNIT
systemdsystemunit_DATA = conf/bpflowd.service
sysusersdir = $(prefix)/lib/sysusers.d
install-data-hook:
	$(MKDIR_P) "$(DESTDIR)$(sysusersdir)"
	$(INSTALL_DATA) $(srcdir)/conf/bpflowd.sysusers "$(DESTDIR)$(sysusersdir)/bpflowd.conf"
uninstall-hook:
	rm -f "$(DESTDIR)$(sysusersdir)/bpflowd.conf"
endif

EXTRA_DIST += conf/bpflowctl.bash-completion
bashcompletiondir = $(datadir)/bash-completion/completions
install-data-local:
	$(MKDIR_P) "$(DESTDIR)$(bashcompletiondir)"
	$(INSTALL_DATA) $(srcdir)/conf/bpflowctl.bash-completion "$(DESTDIR)$(bashcompletiondir)/bpflowctl"
uninstall-local:
	rm -f "$(DESTDIR)$(bashcompletiondir)/bpflowctl"

# examples; what collectors load to know our elements, and how to see them there
nobase_dist_doc_DATA = \
	conf/examples/branch-nat.yaml \
	conf/examples/provider-edge.yaml \
	conf/examples/wireguard-hub.yaml \
	conf/grafana-dashboard.json \
	conf/collectors/README.md \
	conf/collectors/elastiflow/README.md \
	conf/collectors/filebeat/README.md \
	conf/collectors/filebeat/bpflowd.yml \
	conf/collectors/goflow2/README.md \
	conf/collectors/goflow2/bpflowd.yaml \
	conf/collectors/graylog/README.md \
	conf/collectors/graylog/bpflowd.json \
	conf/collectors/ipfixcol2/README.md \
	conf/collectors/ipfixcol2/bpflowd.xml \
	conf/collectors/ipfixdump/README.md \
	conf/collectors/ipfixdump/bpflowd.xml \
	conf/collectors/logstash/README.md \
	conf/collectors/logstash/bpflowd.yml \
	conf/collectors/nfdump/README.md \
	conf/collectors/ntopng/README.md \
	conf/collectors/ntopng/bpflowd.txt \
	conf/collectors/pmacct/README.md \
	conf/collectors/pmacct/bpflowd.lst \
	conf/collectors/python-ipfix/README.md \
	conf/collectors/python-ipfix/bpflowd.iespec \
	conf/collectors/telegraf/README.md \
	conf/collectors/telegraf/bpflowd.csv
