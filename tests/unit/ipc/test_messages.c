/* The message sets: what is encoded is decoded, and nothing else is. */
#include <stdlib.h>
#include <string.h>

#include "message_samples.h"

TestSuite(messages, .init = open_link, .fini = close_link);

static struct slice send_sample(const struct sample *sample)
{
    buf_clear(&link_.batch);
    cr_assert_eq(sample->send(&sample->message), 0, "%s", msg_name((int)sample->type));
    return only_frame();
}

Test(messages, every_message_comes_back_as_it_was_sent)
{
    for (size_t i = 0; i < sample_count; i++) {
        union message got;
        uint8_t sent[256];
        struct slice frame = send_sample(&samples[i]);
        cr_assert_lt(frame.len, sizeof(sent));
        memcpy(sent, frame.data, frame.len);
        struct unpack body = body_of(slice_of(sent, frame.len), samples[i].type);
        memset(&got, 0xee, sizeof(got));
        cr_assert_eq(samples[i].decode(&got, &body), 0, "%s", msg_name((int)samples[i].type));
        cr_assert_eq(body.at, body.end);
        /* what was understood, said again */
        buf_clear(&link_.batch);
        cr_assert_eq(samples[i].send(&got), 0);
        cr_assert(slice_equal(only_frame(), slice_of(sent, body.end - sent)), "%s",
                  msg_name((int)samples[i].type));
    }
}

Test(messages, every_message_of_the_list_but_hello_has_a_sample)
{
    unsigned listed = 0;
    for (int type = 0; type < 1000; type++)
        listed += msg_elements(type) >= 0;
    cr_assert_eq(listed, sample_count + 1);
}

Test(messages, a_cut_message_is_refused_wherever_it_is_cut)
{
    for (size_t i = 0; i < sample_count; i++) {
        struct slice frame = send_sample(&samples[i]);
        struct unpack whole = body_of(frame, samples[i].type);
        for (const uint8_t *end = whole.at; end < whole.end; end++) {
            union message got;
            struct unpack body = whole;
            /* a copy of its own, so that reading beyond it is seen by the sanitizer */
            size_t len = (size_t)(end - whole.at);
            uint8_t *bytes = malloc(len > 0 ? len : 1);
            memcpy(bytes, whole.at, len);
            unpack_init(&body, slice_of(bytes, len));
            cr_assert_neq(samples[i].decode(&got, &body), 0, "%s", msg_name((int)samples[i].type));
            free(bytes);
        }
    }
}

Test(messages, a_byte_too_many_is_refused)
{
    for (size_t i = 0; i < sample_count; i++) {
        union message got;
        uint8_t bytes[256];
        struct slice frame = send_sample(&samples[i]);
        cr_assert_lt(frame.len, sizeof(bytes));
        memcpy(bytes, frame.data, frame.len);
        bytes[frame.len] = 0;
        struct unpack body = body_of(slice_of(bytes, frame.len + 1), samples[i].type);
        cr_assert_eq(samples[i].decode(&got, &body), E_TRAILING, "%s",
                     msg_name((int)samples[i].type));
    }
}

enum kind { KIND_TEXT, KIND_ARRAY, KIND_OTHER };

static enum kind kind_of(const uint8_t *at)
{
    if ((*at & 0xe0) == 0xa0 || (*at >= 0xd9 && *at <= 0xdb))
        return KIND_TEXT;
    return (*at & 0xf0) == 0x90 || *at == 0xdc || *at == 0xdd ? KIND_ARRAY : KIND_OTHER;
}

/* One element, whatever it is. */
static void step_over(struct unpack *body)
{
    struct unpack tries[4] = {*body, *body, *body, *body};
    if (unpack_nil(body))
        return;
    if (kind_of(body->at) == KIND_ARRAY) {
        for (uint32_t left = unpack_array(body); left > 0; left--)
            step_over(body);
        return;
    }
    (void)unpack_u64(&tries[0]);
    (void)unpack_bytes(&tries[1]);
    (void)unpack_bool(&tries[2]);
    (void)unpack_text(&tries[3]);
    for (unsigned i = 0; i < 4; i++)
        if (tries[i].error == 0)
            *body = tries[i];
}

Test(messages, an_element_of_another_type_is_refused)
{
    static const uint8_t wrong[][2] = {{0xc0}, {0xa1, 'x'}, {0x90}, {0xff}}; /* nil "x" [] -1 */
    static const size_t wrong_len[] = {1, 2, 1, 1};
    for (size_t i = 0; i < sample_count; i++) {
        int elements = msg_elements((int)samples[i].type);
        for (int element = 0; element < elements; element++)
            for (size_t w = 0; w < sizeof(wrong_len) / sizeof(wrong_len[0]); w++) {
                union message got;
                struct buf bytes;
                bool is_same = false;
                buf_init(&bytes, 4096);
                struct unpack body = body_of(send_sample(&samples[i]), samples[i].type);
                for (int e = 0; e < elements; e++) {
                    const uint8_t *start = body.at;
                    step_over(&body);
                    cr_assert_gt(body.at, start);
                    is_same |= e == element && kind_of(start) == kind_of(wrong[w]);
                    if (e == element)
                        buf_append(&bytes, wrong[w], wrong_len[w]);
                    else
                        buf_append(&bytes, start, (size_t)(body.at - start));
                }
                struct unpack changed;
                unpack_init(&changed, buf_slice(&bytes));
                cr_assert(is_same || samples[i].decode(&got, &changed) == E_INVALID,
                          "%s, element %d", msg_name((int)samples[i].type), element);
                buf_fini(&bytes);
            }
    }
}

Test(messages, nothing_is_queued_for_a_peer_that_is_down)
{
    link_.is_up = false;
    for (size_t i = 0; i < sample_count; i++)
        cr_assert_eq(samples[i].send(&samples[i].message), E_PEER_DOWN);
    cr_assert_eq(link_.batch.len, 0);
}

Test(messages, nothing_is_queued_beyond_the_bound)
{
    link_.ready_bytes = LINK_QUEUE_BYTES;
    for (size_t i = 0; i < sample_count; i++)
        cr_assert_eq(samples[i].send(&samples[i].message), E_BUSY);
    cr_assert_eq(link_.batch.len, 0);
    link_.ready_bytes = LINK_QUEUE_BYTES - 1;
    cr_assert_eq(samples[0].send(&samples[0].message), 0);
}
