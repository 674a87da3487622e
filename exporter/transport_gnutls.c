/* SPDX-License-Identifier: MIT */
/*
 * Certificates, handshake and verification of both secure transports. The peer is verified by the
 * name or address that the configuration gives (DNS-ID, IP-ID: RFC 7011 11.3), within the
 * handshake: a session that fails it never carries a message. Above: transport_tls.c,
 * transport_dtls.c.
 */
#include "config.h"

#include "transport_gnutls.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "resolver.h"

#define PRIORITY_TLS  "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:%SAFE_RENEGOTIATION"
#define PRIORITY_DTLS "SECURE128:-VERS-ALL:+VERS-DTLS1.2:-RSA:%SAFE_RENEGOTIATION"
#define CONFIRM_NS    NSEC_PER_SEC
#define DISCARD_MAX   65536

static bool is_set(const char *text)
{
	return text && *text;
}

/* Takes what over. A file that can't be read lacks nothing but the right to it. */
static bool fail(GError **error, int code, char *what, const char *remedy)
{
	g_autofree char *text = g_strdup(gnutls_strerror(code));
	bool unreadable = code == GNUTLS_E_FILE_ERROR;

	if (g_str_has_suffix(text, "."))
		text[strlen(text) - 1] = '\0';
	g_set_error(error, TRANSPORT_ERROR, unreadable ? EACCES : EINVAL, "%s: %s%s%s", what, text,
		    unreadable ? "" : "; ", unreadable ? "" : remedy);
	g_free(what);
	return false;
}

static bool load_trust(gnutls_certificate_credentials_t credentials, const struct settings_tls *tls,
		       GError **error)
{
	int n = is_set(tls->ca) ? gnutls_certificate_set_x509_trust_file(credentials, tls->ca,
									 GNUTLS_X509_FMT_PEM)
				: gnutls_certificate_set_x509_system_trust(credentials);

	if (n == 0 && is_set(tls->ca))
		n = GNUTLS_E_NO_CERTIFICATE_FOUND;
	return n >= 0 || fail(error, n, g_strdup(is_set(tls->ca) ? tls->ca : "of the system"),
			      "name a file of certificates (PEM)");
}

static bool load(gnutls_certificate_credentials_t credentials,
		 const struct settings_collector *collector, const char **key, GError **error)
{
	const struct settings_tls *tls = &collector->tls;
	int n;

	*key = "tls.ca";
	if (!load_trust(credentials, tls, error))
		return false;
	*key = "tls.certificate";
	if (!is_set(tls->certificate))
		return true;
	n = gnutls_certificate_set_x509_key_file2(credentials, tls->certificate, tls->key,
						  GNUTLS_X509_FMT_PEM, NULL, 0);
	return n >= 0 ||
	       fail(error, n, g_strdup_printf("%s with tls.key %s", tls->certificate, tls->key),
		    "name a certificate and its key (PEM)");
}

static bool key_is_secret(const struct settings_collector *collector, GError **error)
{
	struct stat status;

	if (!is_set(collector->tls.key) || stat(collector->tls.key, &status) ||
	    !(status.st_mode & S_IRWXO))
		return true;
	g_set_error(error, TRANSPORT_ERROR, EACCES, "%s: everyone may read it; chmod o-rwx it",
		    collector->tls.key);
	return false;
}

static bool refused_by_gnutls(GError **error, int code)
{
	g_set_error(error, TRANSPORT_ERROR, code == GNUTLS_E_MEMORY_ERROR ? ENOMEM : EPROTO,
		    "GnuTLS: %s", gnutls_strerror(code));
	return false;
}

static bool allocate(gnutls_certificate_credentials_t *credentials, GError **error)
{
	int code = gnutls_certificate_allocate_credentials(credentials);

	if (code >= 0)
		return true;
	*credentials = NULL;
	return refused_by_gnutls(error, code);
}

bool tls_probe(const struct settings_collector *collector, const char **key, GError **error)
{
	gnutls_certificate_credentials_t credentials;
	bool fine;

	*key = "tls";
	if (!allocate(&credentials, error))
		return false;
	fine = load(credentials, collector, key, error);
	gnutls_certificate_free_credentials(credentials);
	if (!fine)
		return false;
	*key = "tls.key";
	return key_is_secret(collector, error);
}

static int make_session(struct tls *tls, const char *name, unsigned flags)
{
	const char *priority = flags & GNUTLS_DATAGRAM ? PRIORITY_DTLS : PRIORITY_TLS;
	int code = gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | flags);

	if (code < 0) {
		tls->session = NULL;
		return code;
	}
	code = gnutls_priority_set_direct(tls->session, priority, NULL);
	if (code >= 0)
		code = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE,
					      tls->credentials);
	if (code >= 0 && !resolver_is_literal(name))
		code = gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, name, strlen(name));
	return code;
}

bool tls_init(struct tls *tls, const struct settings_collector *collector, unsigned flags,
	      GError **error)
{
	const char *name = collector->address;
	const char *key;
	int code;

	if (!allocate(&tls->credentials, error))
		return false;
	if (!load(tls->credentials, collector, &key, error)) {
		g_prefix_error(error, "%s ", key);
		tls_clear(tls);
		return false;
	}
	code = make_session(tls, name, flags);
	if (code < 0) {
		tls_clear(tls);
		return refused_by_gnutls(error, code);
	}
	if (collector->tls.verify)
		gnutls_session_set_verify_cert(tls->session, name, 0);
	return true;
}

void tls_clear(struct tls *tls)
{
	if (tls->session)
		gnutls_deinit(tls->session);
	if (tls->credentials)
		gnutls_certificate_free_credentials(tls->credentials);
}

void tls_set_error(GError **error, struct tls *tls, int code, const char *what)
{
	if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		unsigned status = gnutls_session_get_verify_cert_status(tls->session);
		gnutls_datum_t text = {0};

		gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
		g_set_error(error, TRANSPORT_ERROR, EACCES, "%s: %s", what,
			    text.data ? g_strchomp((char *)text.data) : gnutls_strerror(code));
		gnutls_free(text.data);
	} else if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		g_set_error(error, TRANSPORT_ERROR, EACCES, "%s: the collector says: %s", what,
			    gnutls_alert_get_name(gnutls_alert_get(tls->session)));
	} else {
		g_set_error(error, TRANSPORT_ERROR, EPROTO, "%s: %s", what, gnutls_strerror(code));
	}
}

/* In TLS 1.3 our side is done before the peer has looked at our certificate. What it says next, a
 * ticket or an alert, tells; most say one, the others are given a second. */
static enum transport_state confirm(struct tls *tls, struct transport *transport, GError **error)
{
	uint64_t now_ns = transport_now_ns();
	bool pong;

	if (gnutls_protocol_get_version(tls->session) != GNUTLS_TLS1_3)
		tls->confirmed = true;
	if (tls->confirmed)
		return TRANSPORT_UP;
	if (!tls_discard(tls, &pong, error))
		return TRANSPORT_FAILED;
	if (!tls->confirm_ns)
		tls->confirm_ns = now_ns + CONFIRM_NS;
	tls->confirmed = gnutls_session_get_flags(tls->session) & GNUTLS_SFLAGS_SESSION_TICKET ||
			 now_ns >= tls->confirm_ns;
	transport->want = POLLIN;
	transport->wake_ns = tls->confirmed ? 0 : tls->confirm_ns;
	return tls->confirmed ? TRANSPORT_UP : TRANSPORT_CONNECTING;
}

enum transport_state tls_handshake(struct tls *tls, struct transport *transport, GError **error)
{
	int code = GNUTLS_E_SUCCESS;

	if (tls->shaken)
		return confirm(tls, transport, error);
	do {
		code = gnutls_handshake(tls->session);
	} while (code == GNUTLS_E_INTERRUPTED || code == GNUTLS_E_WARNING_ALERT_RECEIVED ||
		 code == GNUTLS_E_GOT_APPLICATION_DATA);
	if (code == GNUTLS_E_AGAIN) {
		transport->want = gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN;
		return TRANSPORT_CONNECTING;
	}
	if (code < 0) {
		gnutls_alert_send_appropriate(tls->session, code);
		tls_set_error(error, tls, code, "handshake failed");
		return TRANSPORT_FAILED;
	}
	tls->shaken = true;
	return confirm(tls, transport, error);
}

bool tls_discard(struct tls *tls, bool *pong, GError **error)
{
	uint8_t trash[4096];

	*pong = false;
	for (ssize_t total = 0; total < DISCARD_MAX;) {
		ssize_t size = gnutls_record_recv(tls->session, trash, sizeof(trash));

		if (size > 0) {
			total += size;
			continue;
		}
		if (size == GNUTLS_E_AGAIN)
			return true;
		if (size == GNUTLS_E_HEARTBEAT_PONG_RECEIVED)
			*pong = true;
		if (size == 0) {
			g_set_error_literal(error, TRANSPORT_ERROR, ECONNRESET,
					    "the collector closed the session");
			return false;
		}
		if (gnutls_error_is_fatal(size)) {
			tls_set_error(error, tls, size, "session lost");
			return false;
		}
		/* each costs something, so that none can be sent without end: renegotiation is
		 * asked for and not granted, warnings are not heard */
		total += sizeof(trash) / 16;
	}
	return true;
}
