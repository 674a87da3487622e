/* SPDX-License-Identifier: MIT */
/* Which flows are our own export: asked when a flow begins. */
#include "config.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "collector_private.h"

static uint8_t protocol_of(enum transport_kind kind)
{
	switch (kind) {
	case TRANSPORT_UDP:
	case TRANSPORT_DTLS:
		return IPPROTO_UDP;
	case TRANSPORT_TCP:
	case TRANSPORT_TLS:
		return IPPROTO_TCP;
	case TRANSPORT_SCTP:
		return IPPROTO_SCTP;
	case TRANSPORT_FILE:
		break;
	}
	return 0;
}

static bool is_address(const struct sockaddr_storage *address, uint16_t eth_proto,
		       const uint8_t *octets)
{
	if (address->ss_family == AF_INET)
		return eth_proto == ETH_P_IP &&
		       !memcmp(octets, &((const struct sockaddr_in *)address)->sin_addr, 4);
	return address->ss_family == AF_INET6 && eth_proto == ETH_P_IPV6 &&
	       !memcmp(octets, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
}

/* Both families have the port at the same place. */
static uint16_t port_of(const struct sockaddr_storage *address)
{
	return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

static uint16_t local_port(const struct collector *collector)
{
	struct sockaddr_storage local = {0};
	socklen_t length = sizeof(local);

	if (getsockname(collector->transport->fd, (struct sockaddr *)&local, &length))
		return 0;
	return port_of(&local);
}

bool collector_owns(const struct collector *collector, const struct flow_id *id)
{
	const struct sockaddr_storage *peer = &collector->peer.address;
	uint16_t port;

	if (!collector->transport || id->protocol != protocol_of(collector->settings->transport))
		return false;
	port = port_of(peer);
	if (id->dst_port == port && is_address(peer, id->eth_proto, id->dst_addr))
		return id->src_port == local_port(collector);
	return id->src_port == port && is_address(peer, id->eth_proto, id->src_addr) &&
	       id->dst_port == local_port(collector);
}
