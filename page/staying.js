() => {
  // When the line breaks during a press, Gradio takes no press any more and, once the server answers, loads the page anew:
  // all that was painted is gone. Here such a press fails for a reason of its own, and the page stays.
  const WORDS = 'The server cannot be reached. Your painting is still here: press the button again once it can.';
  const LOST = `data: ${JSON.stringify({ msg: 'unexpected_error', message: WORDS })}\n\n`;
  const CLOSE = `data: ${JSON.stringify({ msg: 'close_stream' })}\n\n`;
  const send = window.fetch.bind(window);
  const tell = () => window.dispatchEvent(new Event('away'));
  const ASK = 3000; // ms; as often the server is asked whether it is there again
  let asking = null;
  const ask = async () => {
    const place = `${window.gradio_config.root}/gradio_api/app_id`;
    const answer = await send(place, { cache: 'no-store' }).catch(() => null);
    if (answer && answer.ok) window.dispatchEvent(new Event('back'));
    else asking = setTimeout(ask, ASK);
  };
  window.addEventListener('away', () => {
    clearTimeout(asking);
    asking = setTimeout(ask, ASK);
  });

  // Of a chosen example its number is enough: with its picture, a server that was started anew, which keeps that elsewhere,
  // would refuse it.
  const lean = (options) => {
    const { event_data: chosen, ...others } = JSON.parse(options.body);
    return chosen && chosen.value ? { ...options, body: JSON.stringify({ ...others, event_data: { ...chosen, value: null } }) } : options;
  };

  const join = async (address, options) => {
    const answer = await send(address, lean(options)).catch(() => null);
    if (answer && (answer.headers.get('content-type') || '').includes('json')) return answer; // not a proxy's page
    tell();
    return new Response(JSON.stringify({ detail: WORDS }), { status: 502 });
  };

  // What the server says of the presses that it works on, until it says that there are no more.
  const listen = async (request) => {
    const answer = await send(request).catch(() => null);
    const reader = answer && answer.ok && answer.body.getReader();
    const [decoder, encoder] = [new TextDecoder(), new TextEncoder()];
    let heard = '';
    const pull = async (said) => {
      const { done, value } = reader ? await reader.read().catch(() => ({ done: true })) : { done: true };
      if (!done) {
        heard = (heard + decoder.decode(value, { stream: true })).slice(-4 * CLOSE.length);
        return said.enqueue(value);
      }
      if (!heard.includes('close_stream') && !request.signal.aborted) {
        tell();
        said.enqueue(encoder.encode(`\n\n${LOST}${CLOSE}`));
      }
      said.close();
    };
    const body = new ReadableStream({ pull, cancel: (reason) => reader && reader.cancel(reason) });
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
  };

  window.fetch = (address, options) => {
    const place = String(address.url || address);
    if (place.includes('/gradio_api/queue/join')) return join(address, options);
    if (place.includes('/gradio_api/queue/data') && address instanceof Request) return listen(address);
    return send(address, options);
  };
}
