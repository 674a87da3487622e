# SPDX-License-Identifier: MIT
# What goes on the wire; template_dir of the default configuration is $(prefix)/share/bpflowd/templates.
templatesdir = $(pkgdatadir)/templates
dist_templates_DATA = templates/standard.yaml
EXTRA_DIST += templates/automake.mk
