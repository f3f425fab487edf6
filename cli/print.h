/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The name space as commands: what cli/command.h translates, the other way. A line is printed only if
 * reading it again gives exactly the names it stands for; what has no line of its own noun is printed as
 * "name add PATH VALUE".
 */
#ifndef KEDGE_CLI_PRINT_H
#define KEDGE_CLI_PRINT_H

#include <stddef.h>
#include <stdio.h>

#include "cli/tree.h"

/* A word as a line takes it: quoted if it has to be. It must not have a NUL. */
void print_word(FILE *file, const char *text, size_t size);

/* The commands that make what is in the tree at "/", ports first, plain names last. Left out: /stats, what
 * the stack writes itself (links of ports, learned neighbours and stations). Values with a NUL can't be
 * commands: they get a comment, and their number is returned. */
unsigned print_commands(FILE *file, const struct node *root);

#endif
