/* events_link.h - the events worker as this gateway sees it: its link, and the subscribers.
 *
 * The sessions know neither links nor maps; here they get both.
 */
#ifndef INSI_GATEWAY_EVENTS_LINK_H
#define INSI_GATEWAY_EVENTS_LINK_H

#include "ipc/link.h"

struct gateway;

/* Makes gateway->sessions. Ends the process when the node's count of them cannot be kept. */
void events_link_open(struct gateway *gateway);

void events_link_on_up(struct gateway *gateway);
void events_link_on_down(struct gateway *gateway);
/* False: the message is none of this conversation. */
bool events_link_on_message(struct gateway *gateway, enum msg type, struct unpack *body);
void events_link_on_batch_end(struct gateway *gateway);

#endif
