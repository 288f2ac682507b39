/* gateway_main.c - the program insi-gateway. */
#include "procs/gateway/gateway.h"

int main(int argc, char **argv)
{
    gateway_run(argc, argv);
}
