/* SPDX-License-Identifier: BSD-3-Clause */
/* Text to address and back, as it stands in names and values. */
#include <errno.h>

#include "arp/links.h"
#include "arp/text.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int link_parse_mac(const char *text, size_t size, struct rte_ether_addr *mac)
{
    struct rte_ether_addr parsed;

    if (size != RTE_ETHER_ADDR_LEN * 3 - 1)
        return -EINVAL;
    for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++) {
        int high = hex_digit(text[i * 3]), low = hex_digit(text[i * 3 + 1]);

        if (high < 0 || low < 0 || (i > 0 && text[i * 3 - 1] != ':'))
            return -EINVAL;
        parsed.addr_bytes[i] = (uint8_t)(high << 4 | low);
    }
    *mac = parsed;
    return 0;
}

int link_parse_ipv4(const char *text, size_t size, rte_be32_t *address)
{
    uint32_t parsed = 0;
    size_t at = 0;

    for (int i = 0; i < 4; i++) {
        size_t begin = at;
        uint32_t number = 0;

        while (at < size && at - begin < 3 && text[at] >= '0' && text[at] <= '9')
            number = number * 10 + (uint32_t)(text[at++] - '0');
        if (at == begin || number > 255 || (text[begin] == '0' && at - begin > 1))
            return -EINVAL;
        parsed = parsed << 8 | number;
        if (i < 3 && (at == size || text[at++] != '.'))
            return -EINVAL;
    }
    if (at != size)
        return -EINVAL;
    *address = rte_cpu_to_be_32(parsed);
    return 0;
}

char *link_format_mac(const struct rte_ether_addr *mac, char *buffer)
{
    static const char digits[] = "0123456789abcdef";
    char *at = buffer;

    for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++) {
        *at++ = digits[mac->addr_bytes[i] >> 4];
        *at++ = digits[mac->addr_bytes[i] & 15];
        *at++ = ':';
    }
    at[-1] = '\0';
    return buffer;
}

char *link_format_ipv4(rte_be32_t address, char *buffer)
{
    const uint32_t number = rte_be_to_cpu_32(address);
    const char *end = buffer + sizeof("255.255.255.255");
    char *at = buffer;

    for (int shift = 24; shift >= 0; shift -= 8)
        at = text_put_number(shift < 24 ? text_put(at, end, ".") : at, end, number >> shift & 255);
    return buffer;
}
