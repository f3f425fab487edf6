/* SPDX-License-Identifier: BSD-3-Clause */
/* Terms of flows, as `flow why` takes them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/terms.h"

static char why[COMMAND_WHY_MAX];

/* Take words that are parted by blanks; they stay in `words`. */
static int take(struct terms *terms, char *words)
{
    char *save = NULL;
    int rc = 0;

    *terms = (struct terms){.given = {NULL}};
    for (char *word = strtok_r(words, " ", &save); word != NULL && rc == 0;
         word = strtok_r(NULL, " ", &save))
        rc = terms_take(terms, word, why);
    return rc == 0 ? terms_finish(terms, why) : rc;
}

static const struct {
    const char *words, *says;
} wrong[] = {
    {"foo", "\"foo\" is not a term of a flow; terms are like src=10.1.0.2"},
    {"sprot=1", "\"sprot\" is not a term of a flow"},
    {"=1", "is not a term of a flow"},
    {"src=foo", "src: \"foo\" is no address; 10.1.0.2, or a prefix like 10.1.0.0/16, would be"},
    {"src=10.0.0", "is no address"},
    {"src=/8", "is no address"},
    {"dst=10.0.0.0/33", "is no address"},
    {"dst=10.0.0.0/", "is no address"},
    {"dst=10.0.0.0/8/8", "is no address"},
    {"dst=", "dst has no value; leave the term away to match any"},
    {"dst=10.0.0.1 dst=10.0.0.2", "dst is given twice"},
    {"proto=bogus", "proto: \"bogus\" is no protocol; tcp, udp,"},
    {"proto=256", "is no protocol"},
    {"proto=6x", "is no protocol"},
    {"sport=70000", "sport: \"70000\" is no port; a number from 0 to 65535"},
    {"sport=99999999999999999999", "is no port"},
    {"sport=-1", "is no port"},
    {"dport=5-", "is no port"},
    {"dport=5-4", "is no port"},
    {"dport=4-5x", "is no port"},
    {"mac=zz", "mac: \"zz\" is no MAC address; 52:54:00:12:34:56 would be"},
    {"mac=52:54:00:12:34:5", "is no MAC address"},
    {"mac=52:54:00:12:34:567", "is no MAC address"},
    {"mac=52-54-00-12-34-56", "is no MAC address"},
    {"iface=a/b", "iface: \"a/b\" is no interface's name"},
    {"bridge=a,b", "is no bridge's name"},
    {"bridge=br0 src=10.0.0.1", "bridge and src don't go together"},
    {"iface=i mac=52:54:00:12:34:56", "mac and iface don't go together"},
};

static void wrong_terms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct terms terms;
        char words[128];

        strcpy(words, wrong[i].words);
        why[0] = '\0';
        if (take(&terms, words) != -EINVAL || strstr(why, wrong[i].says) == NULL)
            fail_msg("%s: \"%s\" instead of \"%s\"", wrong[i].words, why, wrong[i].says);
    }
}

static const struct {
    const char *words;
    bool one;
} names[] = {
    {"src=10.0.0.1 dst=10.0.0.2 proto=udp", true},
    {"src=10.0.0.1 dst=10.0.0.2 proto=udp sport=1 dport=2 iface=i1", true},
    {"src=10.0.0.1 dst=10.0.0.2", false},
    {"src=10.0.0.0/24 dst=10.0.0.2 proto=udp", false},
    {"src=10.0.0.1 dst=10.0.0.2/32 proto=udp", false},
    {"src=10.0.0.1 dst=10.0.0.2 proto=udp sport=1-9", false},
    {"bridge=br0 mac=52:54:00:12:34:56", true},
    {"bridge=br0", false},
    {"mac=52:54:00:12:34:56", false},
};

static void terms_that_name_one_flow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct terms terms;
        char words[128];

        strcpy(words, names[i].words);
        assert_int_equal(take(&terms, words), 0);
        if (terms_name_one(&terms) != names[i].one)
            fail_msg("%s", names[i].words);
    }
}

static const struct {
    const char *word;
    enum term term;
    const char *value;
    bool fits;
} fits[] = {
    {"src=10.0.0.1", TERM_SRC, "10.0.0.1", true},
    {"src=10.0.0.1", TERM_SRC, "10.0.0.2", false},
    {"dst=10.0.2.0/24", TERM_DST, "10.0.2.2", true},
    {"dst=10.0.2.1/24", TERM_DST, "10.0.2.255", true},
    {"dst=10.0.2.0/24", TERM_DST, "10.0.3.0", false},
    {"dst=0.0.0.0/0", TERM_DST, "255.255.255.255", true},
    {"dst=0.0.0.0/0", TERM_DST, "", false}, /* a bridged flow */
    {"dst=10.0.2.0/24", TERM_SRC, "1.2.3.4", true},
    {"proto=6", TERM_PROTO, "tcp", true},
    {"proto=esp", TERM_PROTO, "50", true},
    {"proto=udp", TERM_PROTO, "tcp", false},
    {"sport=0080", TERM_SPORT, "80", true},
    {"dport=100-200", TERM_DPORT, "200", true},
    {"dport=100-200", TERM_DPORT, "201", false},
    {"dport=0", TERM_DPORT, "", false},
    {"iface=i1", TERM_IFACE, "i1", true},
    {"iface=i1", TERM_IFACE, "I1", false},
    {"mac=52:54:00:AA:00:01", TERM_MAC, "52:54:00:aa:00:01", true},
};

static void flows_that_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++) {
        struct terms terms = {.given = {NULL}};

        assert_int_equal(terms_take(&terms, fits[i].word, why), 0);
        if (terms_fit(&terms, fits[i].term, fits[i].value) != fits[i].fits)
            fail_msg("%s, \"%s\"", fits[i].word, fits[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_terms),
        cmocka_unit_test(terms_that_name_one_flow),
        cmocka_unit_test(flows_that_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
