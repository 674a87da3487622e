# SPDX-License-Identifier: MIT
# What goes on the wire; template_dir of the default configuration is $(prefix)/share/bpflowd/templates.
templatesdir = $(pkgdatadir)/templates
dist_templates_DATA = templates/standard.yaml templates/minimal.yaml templates/nfdump.yaml templates/ntopng.yaml \
	templates/elastiflow.yaml templates/cert.yaml templates/full.yaml
EXTRA_DIST += templates/automake.mk
