/* SPDX-License-Identifier: MIT */
/* Checks of texts: addresses, names, files, accounts. Each answers what is wrong and what would be
 * right, or NULL. */
#include "config.h"

#include "settings_option.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 64

char *check_account(const char *text)
{
	if (getpwnam(text))
		return NULL;
	return g_strdup_printf("no account \"%s\" on this system; create it or name another", text);
}

char *check_account_group(const char *text)
{
	if (getgrnam(text))
		return NULL;
	return g_strdup_printf("no group \"%s\" on this system; create it or name another", text);
}

/* Letters, digits and what is harmless in file names and labels. */
static bool is_name(const char *text, const char *also)
{
	for (; *text; text++)
		if (!g_ascii_isalnum(*text) && !strchr(also, *text))
			return false;
	return true;
}

char *check_name(const char *text)
{
	if (strlen(text) <= NAME_MAX_LENGTH && is_name(text, "._-"))
		return NULL;
	return g_strdup_printf("\"%.80s\" is no name; write up to %d letters, digits, . _ -", text,
			       NAME_MAX_LENGTH);
}

char *check_drop_reason(const char *text)
{
	if (g_str_has_prefix(text, "SKB_DROP_REASON_"))
		return g_strdup_printf("\"%.80s\" is written without SKB_DROP_REASON_; write %.60s",
				       text, text + strlen("SKB_DROP_REASON_"));
	for (const char *c = text; *c; c++)
		if (!g_ascii_isupper(*c) && !g_ascii_isdigit(*c) && *c != '_')
			return g_strdup_printf("\"%.80s\" is no drop reason; write the kernel's "
					       "name, like TCP_INVALID_SEQUENCE",
					       text);
	return NULL;
}

/* Behind the set of characters that begins after '[', NULL if it does not end. */
static const char *skip_set(const char *at)
{
	if (*at == '!' || *at == '^')
		at++;
	/* one that stands first is no end */
	at = *at ? strchr(at + 1, ']') : NULL;
	return at ? at + 1 : NULL;
}

char *check_glob(const char *text)
{
	const char *at = text + (*text == '!');

	if (!strcmp(text, "!"))
		return g_strdup("\"!\" excludes nothing; write a name or pattern after it");
	while (at && *at) {
		if (*at == '[')
			at = skip_set(at + 1);
		else if (*at++ == '\\' && !*at++)
			return g_strdup_printf("\"%.80s\" ends with a backslash that escapes "
					       "nothing; write two for one",
					       text);
	}
	if (at)
		return NULL;
	return g_strdup_printf("\"%.80s\" has a [ without ]; close it, or write \\[ for the "
			       "character",
			       text);
}

char *check_netns(const char *text)
{
	if (!strchr(text, '/') && strcmp(text, ".") != 0 && strcmp(text, "..") != 0)
		return NULL;
	return g_strdup_printf("\"%.80s\" is no namespace; write its name as in ip netns", text);
}

char *check_socket(const char *text)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (strlen(text) <= max)
		return NULL;
	return g_strdup_printf("a path of %zu octets; a socket's has at most %zu", strlen(text),
			       max);
}

static char *check_file(const char *text, mode_t forbidden)
{
	int fd = open(text, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char *wrong = NULL;
	struct stat st;

	if (fd < 0)
		return g_strdup_printf("%s can't be opened: %s; name a readable file", text,
				       g_strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		wrong = g_strdup_printf("%s is no regular file; name one", text);
	else if (st.st_mode & forbidden)
		wrong = g_strdup_printf("every user of this system can read %s; run chmod o= %s",
					text, text);
	close(fd);
	return wrong;
}

char *check_output(const char *text)
{
	g_autofree char *folder = g_path_get_dirname(text);

	if (!g_file_test(folder, G_FILE_TEST_IS_DIR))
		return g_strdup_printf("there is no folder %s; make it or name another", folder);
	if (g_file_test(text, G_FILE_TEST_IS_DIR))
		return g_strdup_printf("%s is a folder; name a file", text);
	return NULL;
}

char *check_readable(const char *text)
{
	return check_file(text, 0);
}

char *check_key_file(const char *text)
{
	return check_file(text, S_IRWXO);
}

/* fe80::1%eth0 */
static bool is_ipv6(const char *text)
{
	g_autofree char *address = g_strndup(text, strcspn(text, "%"));
	const char *zone = strchr(text, '%');
	struct in6_addr in6;

	return inet_pton(AF_INET6, address, &in6) == 1 && (!zone || zone[1]);
}

int address_family(const char *text)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) == 1)
		return AF_INET;
	return is_ipv6(text) ? AF_INET6 : 0;
}

/* RFC 1123 2.1, and the underscore that many use; a last label of digits alone is a bad address. */
static bool is_host_name(const char *text)
{
	g_auto(GStrv) labels = g_strsplit(text, ".", -1);
	guint n = g_strv_length(labels);

	if (!*text || strlen(text) > 253)
		return false;
	if (n > 1 && !*labels[n - 1])
		n--;
	for (guint i = 0; i < n; i++) {
		size_t length = strlen(labels[i]);

		if (!length || length > 63 || !is_name(labels[i], "-_") || *labels[i] == '-' ||
		    labels[i][length - 1] == '-')
			return false;
	}
	return strspn(labels[n - 1], "0123456789") < strlen(labels[n - 1]);
}

static bool is_any_address(const char *text)
{
	struct in6_addr in6 = IN6ADDR_ANY_INIT;
	struct in6_addr given;

	return !strcmp(text, "0.0.0.0") ||
	       (inet_pton(AF_INET6, text, &given) == 1 && !memcmp(&given, &in6, sizeof(in6)));
}

static bool is_port(const char *text)
{
	size_t length = strlen(text);

	return length && length <= 5 && strspn(text, "0123456789") == length && *text != '0' &&
	       g_ascii_strtoull(text, NULL, 10) <= UINT16_MAX;
}

/* IPv6 addresses that no session comes up with, or only with flows that we take for others'. */
static char *check_ipv6(const char *text)
{
	g_autofree char *address = g_strndup(text, strcspn(text, "%"));
	char ipv4[INET_ADDRSTRLEN];
	struct in6_addr in6;

	if (inet_pton(AF_INET6, address, &in6) != 1)
		return NULL;
	if (IN6_IS_ADDR_V4MAPPED(&in6)) {
		inet_ntop(AF_INET, &in6.s6_addr[12], ipv4, sizeof(ipv4));
		return g_strdup_printf("%s is an IPv4 address in IPv6 form; write %s", text, ipv4);
	}
	if (!strchr(text, '%') && (IN6_IS_ADDR_LINKLOCAL(&in6) || IN6_IS_ADDR_MC_LINKLOCAL(&in6)))
		return g_strdup_printf("%s may be on any link; write it with the interface, like "
				       "\"%s%%eth0\"",
				       text, text);
	return NULL;
}

char *check_address(const char *text)
{
	const char *colon = strchr(text, ':');

	if (is_any_address(text))
		return g_strdup_printf("%s is no host; write the collector's address", text);
	if (address_family(text))
		return check_ipv6(text);
	if (is_host_name(text))
		return NULL;
	if (*text == '[')
		return g_strdup_printf("\"%.80s\" has brackets; write the address alone", text);
	if (colon && is_port(colon + 1))
		return g_strdup_printf("\"%.80s\" has a port; write it as port: %.20s", text,
				       colon + 1);
	return g_strdup_printf("\"%.80s\" is no address; write a host name, IPv4 or IPv6 address",
			       text);
}

char *check_source(const char *text)
{
	if (address_family(text))
		return check_ipv6(text);
	return g_strdup_printf("\"%.80s\" is no address; write one of this host's IPv4 or IPv6 "
			       "addresses",
			       text);
}

char *check_listen(const char *text)
{
	const char *colon = strrchr(text, ':');
	g_autofree char *host = colon ? g_strndup(text, colon - text) : g_strdup("");
	size_t length = strlen(host);
	bool good;

	if (*host == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		good = address_family(host + 1) == AF_INET6;
	} else {
		good = address_family(host) == AF_INET || is_host_name(host);
	}
	if (good && is_port(colon + 1))
		return NULL;
	return g_strdup_printf("\"%.80s\" is no place to listen; write ADDRESS:PORT or "
			       "[IPV6-ADDRESS]:PORT",
			       text);
}
