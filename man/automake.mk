# SPDX-License-Identifier: MIT
dist_man_MANS = man/bpflowd.8 man/bpflowd.yaml.5 man/bpflowctl.8
EXTRA_DIST += man/automake.mk
