// The dashboard: from server-sent events to rows, plots and words. Whatever comes from outside is written as text
// (textContent), never as markup: names are the configuration's, errors may be a backend's.
'use strict';

const POINTS = 300; // five minutes
const FEWEST = 60; // the width of a plot that has just begun
const MARKS = { ready: '●', failing: '✕', ejected: '✕', draining: '◐', maintenance: '○' };
const ACTIONS = {
  drain: { wish: { state: 'draining' }, text: 'Nothing new is sent to it; sessions that a cookie binds to it stay.' },
  ready: { wish: { state: 'ready' }, text: 'It takes what comes, as far as its health lets it.' },
  maint: { wish: { state: 'maintenance' }, text: 'Nothing is sent to it, not even sessions that a cookie binds to it; what runs may end.' },
  weight: { wish: null, text: 'Its share of new requests, until the configuration says another one; 0 for nothing new.' },
};

const at = (id) => document.getElementById(id);

/** An element with classes and children: elements, or texts. */
function make(name, kind, ...children) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

/** Writes a text where it is another one: what a screen reader is at must not be made anew each second. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(text) {
  write(at('said'), text);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => write(at('said'), ''), 8000);
}

const rate = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value > 0 ? value.toFixed(2) : '0');
const time = (value) => (value === null ? '–' : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 1 ? 1 : 2));
const share = (value) => (value === null ? '–' : `${(value * 100).toFixed(0)} %`);
const clock = (stamp) => stamp.slice(11, 19);
const mark = (standing) => `${MARKS[standing] ?? '?'} ${standing}`;

function lasted(seconds) {
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min` : `${seconds} s`;
}

// ---- plots

class Plot {
  constructor(title, unit, lines, show) {
    Object.assign(this, { title, unit, show, values: lines.map(() => []) });
    const named = lines.map((line, index) => {
      const value = make('b', '', '–');
      return { label: make('span', `line${index}`, line ? `${line} ` : '', value), value };
    });
    this.now = named.map((one) => one.value);
    this.svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    this.svg.setAttribute('preserveAspectRatio', 'none');
    this.svg.setAttribute('role', 'img');
    this.drawn = lines.map((_, index) => {
      const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
      line.setAttribute('class', `line${index}`);
      this.svg.append(line);
      return line;
    });
    this.most = make('span', '', '0');
    this.since = make('span');
    const scale = make('div', 'scale', this.since, make('span', '', 'top: ', this.most));
    const caption = make('figcaption', '', make('span', '', title), ...named.map((one) => one.label));
    at('plots').append(make('figure', '', caption, this.svg, scale));
  }

  /** Adds a second; null where there was nothing to measure. */
  add(...values) {
    values.forEach((value, index) => {
      this.values[index].push(value);
      if (this.values[index].length > POINTS) this.values[index].shift();
      write(this.now[index], value === null ? '–' : `${this.show(value)}${this.unit}`);
    });
    const most = Math.max(0, ...this.values.flat().filter((value) => value !== null));
    write(this.most, `${this.show(most)}${this.unit}`);
    const width = Math.max(FEWEST, this.values[0].length);
    write(this.since, `${lasted(width)} ago`);
    this.svg.setAttribute('viewBox', `0 0 ${width - 1} 100`);
    this.drawn.forEach((line, index) => line.setAttribute('points', points(this.values[index], width, most)));
    this.svg.setAttribute('aria-label', `${this.title}, last ${lasted(width)}, at most ${this.show(most)}${this.unit}`);
  }
}

/** Newest at the right edge; a second without a value keeps the height of the one before. */
function points(values, width, most) {
  const offset = width - values.length;
  let last = 0;
  return values.map((value, index) => {
    last = value ?? last;
    return `${offset + index},${(98 - (most > 0 ? (last / most) * 94 : 0)).toFixed(1)}`;
  }).join(' ');
}

// ---- rows

const COLUMNS = [
  ['standing', 'words', (b) => mark(b.standing) + (b.age === undefined ? '' : ` ${lasted(b.age)}`)],
  ['requests/s', '', (b) => rate(b.requests_per_second)],
  ['in flight', '', (b) => (b.limit ? `${b.in_flight}/${b.limit}` : `${b.in_flight}`)],
  ['share / wanted', '', (b) => `${share(b.share_got)} / ${share(b.share_wanted)}`],
  ['weight', '', (b) => (b.weight === b.weight_configured ? `${b.weight}` : `${b.weight} (${b.weight_configured})`)],
  ['p50 ms', '', (b) => time(b.p50_milliseconds)],
  ['p99 ms', '', (b) => time(b.p99_milliseconds)],
  ['5xx/s', '', (b) => rate(b.errors_per_second)],
  ['failures/s', '', (b) => rate(b.failures_per_second)],
  ['last failure', 'words', lastFailure],
  ['bound/s', 'extra', (b) => rate(b.sticky_per_second)],
];

/** Of an attempt, or else what the health check last found. */
function lastFailure(backend) {
  if (backend.last_failure) return `${backend.last_failure.cause} ${clock(backend.last_failure.time)}`;
  return backend.check?.cause ? `${backend.check.cause} (check)` : '–';
}

const pools = new Map();

function newPool(name) {
  const about = make('span');
  const head = make('tr', '', header('backend', 'col'), ...COLUMNS.map(([title, kind]) => header(title, 'col', kind)), header('steer', 'col', 'words'));
  const body = make('tbody');
  const table = make('table', '', make('caption', '', `${name} `, about), make('thead', '', head), body);
  const scroll = make('div', 'scroll', table);
  scroll.tabIndex = 0;
  scroll.setAttribute('role', 'region');
  scroll.setAttribute('aria-label', `backends of ${name}`);
  return { about, body, scroll, rows: new Map() };
}

function header(text, scope, kind) {
  const cell = make('th', kind, text);
  cell.scope = scope;
  return cell;
}

function newRow(pool, backend) {
  const named = backend.id === backend.address ? backend.address : `${backend.id} (${backend.address})`;
  const cells = COLUMNS.map(([, kind]) => make('td', kind));
  const buttons = Object.keys(ACTIONS).map((action) => {
    const button = make('button', '', action === 'weight' ? 'weight…' : action);
    button.type = 'button';
    button.dataset.action = action;
    button.setAttribute('aria-label', `${action} ${named} in ${pool}`);
    button.addEventListener('click', () => ask(action, pool, rowOf(pool, backend.address)));
    return button;
  });
  const steer = make('td', 'words');
  buttons.forEach((button) => steer.append(button, ' '));
  const row = make('tr', '', header(named, 'row'), ...cells, steer);
  row.dataset.address = backend.address;
  return { row, cells, backend, standing: backend.standing };
}

const rowOf = (pool, address) => pools.get(pool)?.rows.get(address)?.backend;

function showPool(pool) {
  if (!pools.has(pool.name)) {
    pools.set(pool.name, newPool(pool.name));
    at('pools').append(pools.get(pool.name).scroll);
  }
  const shown = pools.get(pool.name);
  const about = [pool.strategy, `${rate(pool.requests_per_second)} requests/s`, `${pool.in_flight} in flight`];
  if (pool.queued) about.push(`${pool.queued} queued`);
  if (pool.retries_per_second) about.push(`${rate(pool.retries_per_second)} retries/s`);
  if (pool.sticky) about.push(`sticky, ${rate(pool.sessions_per_second)} sessions/s bound`);
  if (pool.panic) about.push('PANIC: too few are well, all are asked');
  write(shown.about, about.join(' · '));
  for (const backend of pool.backends) {
    if (!shown.rows.has(backend.address)) {
      shown.rows.set(backend.address, newRow(pool.name, backend));
      shown.body.append(shown.rows.get(backend.address).row);
    }
    showBackend(pool.name, shown.rows.get(backend.address), backend);
  }
  const there = new Set(pool.backends.map((backend) => backend.address));
  drop(shown.rows, there, (row) => row.row);
}

function showBackend(pool, shown, backend) {
  shown.backend = backend;
  COLUMNS.forEach(([, , text], index) => write(shown.cells[index], text(backend)));
  shown.cells[0].className = `words ${backend.standing in MARKS ? backend.standing : ''}`;
  if (shown.standing !== backend.standing) {
    say(`${backend.address} in ${pool} is ${backend.standing} now, was ${shown.standing}`);
    shown.standing = backend.standing;
  }
  if (backend.failures_per_second > 0 && backend.last_failure) {
    const { time: stamp, cause } = backend.last_failure;
    const text = ` ${pool} ${backend.address}: ${cause}, ${rate(backend.failures_per_second)}/s`;
    listed('failures', make('li', '', when(stamp), text), 30);
  }
}

/** What is wrong and what can be done, first of all; written anew only when it is another thing. */
function showAlarms(stats) {
  const all = stats.pools.reduce((sum, pool) => sum + pool.backends.length, 0);
  const fine = { what: `nothing is wrong: none of ${all} backends is out, slow or failing`, remedy: '' };
  const alarms = stats.alarms.length ? stats.alarms : [fine];
  const items = alarms.map((alarm) => {
    const [kind, sign] = alarm === fine ? ['fine', '✓'] : alarm.grave ? ['grave', '✕'] : ['', '○'];
    const what = make('b', '', `${sign} ${alarm.pool ? `${alarm.pool}: ` : ''}${alarm.what}`);
    return make('li', kind, what, ...(alarm.remedy ? [make('span', '', `→ ${alarm.remedy}`)] : []));
  });
  const text = items.map((item) => item.textContent).join('\n');
  if (showAlarms.text === text) return;
  showAlarms.text = text;
  at('alarms').replaceChildren(...items);
}

/** Takes away what is there no more. */
function drop(shown, there, element) {
  for (const [name, one] of shown) {
    if (!there.has(name)) {
      element(one).remove();
      shown.delete(name);
    }
  }
}

function when(stamp) {
  const element = make('time', '', clock(stamp));
  element.dateTime = stamp;
  element.title = stamp;
  return element;
}

/** Puts an entry before the others, of which so many are kept. */
function listed(id, entry, most) {
  const list = at(id);
  list.querySelectorAll(':scope > .quiet').forEach((none) => none.remove());
  list.prepend(entry);
  while (list.childElementCount > most) list.lastElementChild.remove();
}

// ---- events

const plots = [
  new Plot('Requests per second', '', [''], rate),
  new Plot('Answered by 5xx per second', '', [''], rate),
  new Plot('Latency', ' ms', ['p50', 'p90', 'p99'], time),
];

function showStats(stats) {
  write(at('state'), stats.state);
  write(at('generation'), `${stats.generation}`);
  write(at('connections'), `${stats.connections}`);
  write(at('uptime'), lasted(stats.uptime_seconds));
  write(at('version'), stats.version);
  plots[0].add(stats.requests_per_second);
  plots[1].add(stats.errors_per_second);
  plots[2].add(stats.p50_milliseconds, stats.p90_milliseconds, stats.p99_milliseconds);
  at('pools').querySelectorAll(':scope > .quiet').forEach((none) => none.remove());
  const now = Date.parse(stats.time) / 1000;
  for (const backend of stats.pools.flatMap((pool) => pool.backends)) {
    if (backend.since !== undefined) backend.age = Math.max(0, now - backend.since);
  }
  showAlarms(stats);
  stats.pools.forEach(showPool);
  drop(pools, new Set(stats.pools.map((pool) => pool.name)), (pool) => pool.scroll);
}

function showEvent(event) {
  const fields = Object.entries(event.fields).map(([name, value]) => `${name}=${value}`).join(' ');
  const level = make('span', event.level, event.level.toUpperCase());
  listed('events', make('li', '', when(event.time), ' ', level, ` ${event.message} `, make('span', 'quiet', fields)), 200);
}

function listen() {
  // A new source is told everything that is kept.
  at('events').replaceChildren();
  const source = new EventSource('v1/events?stats=true');
  source.addEventListener('open', () => write(at('link'), '● live'));
  source.addEventListener('stats', (event) => showStats(JSON.parse(event.data)));
  source.addEventListener('log', (event) => showEvent(JSON.parse(event.data)));
  source.addEventListener('lost', (event) => {
    listed('events', make('li', 'warn', `${JSON.parse(event.data).events} events were lost on the way here`), 200);
  });
  source.addEventListener('error', () => {
    write(at('link'), '✕ lost, trying again');
    // It comes back by itself after a lost connection, not after a refusal.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

// ---- steering

let token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
// Out of the address, so that it is not copied, shared or kept in the history with it.
if (token) history.replaceState(null, '', location.pathname + location.search);
let wanted = null;

function ask(action, pool, backend) {
  if (!backend) return;
  wanted = { action, pool, address: backend.address };
  write(at('dialog-title'), `${action} ${backend.address} in ${pool}?`);
  write(at('dialog-text'), ACTIONS[action].text);
  write(at('dialog-error'), '');
  write(at('confirm'), action === 'weight' ? 'Set weight' : action);
  at('weight-row').hidden = action !== 'weight';
  at('weight').required = action === 'weight';
  at('weight').value = backend.weight;
  at('token-row').hidden = token !== '';
  at('token').value = '';
  at('dialog').showModal();
  // Not on what does it: Enter pressed twice must not.
  (action === 'weight' ? at('weight') : token === '' ? at('token') : at('cancel')).focus();
}

async function steer(event) {
  event.preventDefault();
  if (at('token').value) token = at('token').value.trim();
  const { action, pool, address } = wanted;
  const wish = ACTIONS[action].wish ?? { weight: Number(at('weight').value) };
  at('confirm').disabled = true;
  try {
    const headers = { 'content-type': 'application/json' };
    if (token) headers.authorization = `Bearer ${token}`;
    const path = `v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(address)}`;
    const answer = await fetch(path, { method: 'PUT', headers, body: JSON.stringify(wish) });
    const said = await answer.json();
    if (answer.ok) {
      at('dialog').close();
      say(`${address} in ${pool}: ${said.standing}, weight ${said.weight}, ${said.in_flight} in flight`);
      return;
    }
    if (answer.status === 401) {
      token = '';
      at('token-row').hidden = false;
      at('token').focus();
    }
    write(at('dialog-error'), said.detail ?? `refused: ${answer.status}`);
  } catch (error) {
    write(at('dialog-error'), `not done: ${error.message}`);
  } finally {
    at('confirm').disabled = false;
  }
}

at('dialog-form').addEventListener('submit', steer);
at('cancel').addEventListener('click', () => at('dialog').close());
listen();
