/*
 * Licensed under the Apache License, Version 2.0 (the "License"); you may
 * not use this file except in compliance with the License. You may obtain
 * a copy of the License at
 *
 *      http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
 * WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
 * License for the specific language governing permissions and limitations
 * under the License.
 */
'use strict';
(() => {
  const body = document.querySelector('tbody');
  if (!body) {
    return;
  }
  const rows = Array.from(body.rows);
  const text = document.getElementById('find');
  const order = document.getElementById('order');
  const scale = document.getElementById('scale');
  const shown = document.getElementById('shown');
  const chips = Array.from(document.querySelectorAll('button.chip'));
  const heads = Array.from(document.querySelectorAll('thead [data-key]'));
  const words = new Map(rows.map((row) => [
    row, row.textContent.toLowerCase()]));

  function filter() {
    const wanted = text.value.trim().toLowerCase();
    const off = new Set(chips
      .filter((chip) => chip.getAttribute('aria-pressed') === 'false')
      .map((chip) => chip.dataset.status));
    let count = 0;
    for (const row of rows) {
      row.hidden = off.has(row.dataset.status) ||
        !words.get(row).includes(wanted);
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = `${count} of ${rows.length} guests shown`;
  }

  /* What is missing comes last, whichever way round. */
  function compare(key, sign) {
    return (one, other) => {
      const a = one.dataset[key];
      const b = other.dataset[key];
      if (!a || !b) {
        return (a ? 0 : 1) - (b ? 0 : 1);
      }
      const difference = key === 'name' ? a.localeCompare(b) : a - b;
      return sign * difference;
    };
  }

  function sort() {
    const [key, direction] = order.value.split(' ');
    body.append(...rows.slice().sort(
      compare(key, direction === 'ascending' ? 1 : -1)));
    for (const head of heads) {
      if (head.dataset.key === key) {
        head.setAttribute('aria-sort', direction);
      } else {
        head.removeAttribute('aria-sort');
      }
    }
  }

  for (const head of heads) {
    head.querySelector('button').addEventListener('click', () => {
      const key = head.dataset.key;
      const choices = Array.from(order.options, (option) => option.value)
        .filter((value) => value.startsWith(`${key} `));
      order.value = choices[0] === order.value ? choices[1] : choices[0];
      sort();
    });
  }
  for (const chip of chips) {
    chip.addEventListener('click', () => {
      chip.setAttribute('aria-pressed',
        String(chip.getAttribute('aria-pressed') === 'false'));
      filter();
    });
  }
  text.addEventListener('input', filter);
  order.addEventListener('change', sort);
  scale.addEventListener('change', () => {
    for (const bar of body.querySelectorAll('svg.bar')) {
      const size = scale.checked ? bar.dataset.common : bar.dataset.own;
      bar.setAttribute('viewBox', `0 0 ${size} 10`);
    }
  });
  document.querySelector('.tools').hidden = false;
  sort();
  filter();
})();
