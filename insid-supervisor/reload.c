/* reload.c - reading the configuration again while the node runs. */
#include "insid-supervisor/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

static bool reload_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool reload_same_address(const struct config_address *a, const struct config_address *b)
{
    return reload_same_text(a->host, b->host) && a->port == b->port;
}

static const char *reload_forbids_node(const struct config_node *old,
                                       const struct config_node *fresh)
{
    if (!fresh)
        return "nodes"; /* this node is gone from it */
    if (!reload_same_address(&old->raft, &fresh->raft))
        return "raftBinding";
    if (!reload_same_address(&old->http, &fresh->http))
        return "httpBinding";
    if (!reload_same_address(&old->admin, &fresh->admin))
        return "adminBinding";
    return reload_same_text(old->node_secret, fresh->node_secret) ? NULL : "nodeSecret";
}

const char *reload_forbids(const struct config *old, const struct config *fresh, const char *node)
{
    if (!reload_same_text(old->instance_secret, fresh->instance_secret))
        return "instanceSecret";
    if (!reload_same_text(old->root_prefix, fresh->root_prefix))
        return "rootPrefix";
    if (!reload_same_text(old->data_dir, fresh->data_dir))
        return "dataDir";
    if (!reload_same_text(old->run_dir, fresh->run_dir))
        return "runDir";
    if (!reload_same_text(old->shm_dir, fresh->shm_dir))
        return "shmDir";
    if (old->tls.enabled != fresh->tls.enabled)
        return "tls";
    if (old->gateway.processes != fresh->gateway.processes)
        return "gateway.processes";
    if (old->logging.format != fresh->logging.format)
        return "logging.format";
    return reload_forbids_node(config_find_node(old, node), config_find_node(fresh, node));
}

static void reload_on_error(const char *message, void *arg)
{
    (void)arg;
    LOG_ERROR("config_refused", LOG_STR("reason", message));
}

int reload_file(struct config_file *file, const char *node)
{
    struct config_file fresh;
    int error = config_file_read(&fresh, file->path, reload_on_error, NULL);
    if (error) {
        LOG_ERROR("config_reload_refused", LOG_STR("file", file->path), LOG_CAUSE(error, errno));
        return error;
    }
    const char *forbidden = reload_forbids(&file->config, &fresh.config, node);
    if (forbidden) {
        LOG_ERROR("config_reload_refused", LOG_STR("file", file->path),
                  LOG_STR("changed", forbidden), LOG_STR("error", "needs a restart of the node"));
        config_file_fini(&fresh);
        return E_INVALID;
    }
    log_set_level(fresh.config.logging.level);
    /* Only the text changes hands: what the supervisor itself uses of the configuration cannot
     * change, and what fini frees is the old text with the new struct. */
    char *text = file->text;
    size_t len = file->len;
    file->text = fresh.text;
    file->len = fresh.len;
    fresh.text = text;
    fresh.len = len;
    config_file_fini(&fresh);
    LOG_INFO("config_reloaded", LOG_STR("file", file->path));
    return 0;
}
