# SPDX-License-Identifier: MIT
# Examples go to the documentation, never into sysconfdir: what an administrator wrote there stays.
dist_doc_DATA = conf/bpflowd.yaml conf/quickstart.yaml
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
