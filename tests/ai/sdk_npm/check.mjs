// Calls a server with the openai package of npm and says what it found, a line of JSON for each check.
//
// node check.mjs BASE_URL KEY MODEL ORDERS; ORDERS is JSON: {name: the message that orders it}, and `spare`, the name
// of a model that is not missed when its provider is left in peace.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const [baseURL, apiKey, model, said] = process.argv.slice(2);
const orders = JSON.parse(said);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const user = (name) => [{ role: 'user', content: orders[name] }];
const words = (count) => Array.from({ length: count }, (_, n) => `w${n} `).join('');
const weather = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

const checks = {
  async whole() {
    const answer = await client.chat.completions.create({ model, messages: user('ten') });
    assert.equal(answer.choices[0].message.content, words(10));
    assert.equal(answer.usage.completion_tokens, 10);
  },

  async stream() {
    const options = { model, messages: user('ten'), stream: true, stream_options: { include_usage: true } };
    let text = '';
    let usage = null;
    for await (const chunk of await client.chat.completions.create(options)) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, words(10));
    assert.equal(usage.completion_tokens, 10);
  },

  async tools() {
    const runner = client.chat.completions.runTools({
      model,
      messages: user('tool'),
      tools: [{
        type: 'function',
        function: { ...weather.function, parse: JSON.parse, function: ({ city }) => `rain in ${city}` },
      }],
    });
    assert.equal(await runner.finalContent(), 'The tool said: rain in Paris');
  },

  async parsed() {
    const verdict = z.object({ good: z.boolean(), reasons: z.array(z.string()) });
    const answer = await client.chat.completions.parse({
      model, messages: user('plain'), response_format: zodResponseFormat(verdict, 'verdict'),
    });
    assert.deepEqual(answer.choices[0].message.parsed, { good: true, reasons: ['so be it'] });
  },

  async responses() {
    const answer = await client.responses.create({ model, input: orders.ten });
    assert.equal(answer.output_text, words(10));
    let text = '';
    for await (const event of await client.responses.create({ model, input: orders.ten, stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    assert.equal(text, words(10));
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model, input: ['one', 'two'] });
    assert.equal(answer.data.length, 2);
    assert.ok(answer.data[0].embedding.length > 0);
  },

  async models() {
    const names = [];
    for await (const row of client.models.list()) names.push(row.id);
    assert.ok(names.includes(model));
  },

  async refused() {
    const stranger = new OpenAI({ baseURL, apiKey: 'sk-refused-stranger', maxRetries: 0 });
    await assert.rejects(stranger.chat.completions.create({ model, messages: user('ten') }), OpenAI.AuthenticationError);
    const limited = client.chat.completions.create({ model: orders.spare, messages: user('limited') });
    await assert.rejects(limited, OpenAI.RateLimitError);
    const unknown = client.chat.completions.create({ model: 'missing-model', messages: user('ten') });
    await assert.rejects(unknown, OpenAI.NotFoundError);
  },

  async broken() {
    let text = '';
    const stream = await client.chat.completions.create({ model, messages: user('broken'), stream: true });
    await assert.rejects(async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
    }, OpenAI.APIError);
    assert.equal(text, words(4));
  },
};

const wanted = Object.keys(checks).filter((name) => !(orders.without ?? []).includes(name));
for (const name of wanted) {
  try {
    await checks[name]();
    console.log(JSON.stringify({ name, error: null }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: String(error.stack ?? error) }));
  }
}
