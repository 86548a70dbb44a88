// Components see the store through a selector and are drawn again only when what it selects changes.
import { useEffect, useReducer, useRef } from "./html.js";

export function useStore(store, select) {
  const [, redraw] = useReducer((n) => n + 1, 0);
  const last = useRef();
  last.current = select(store.get());
  const choose = useRef(select);
  choose.current = select;
  useEffect(() => {
    const check = () => {
      if (choose.current(store.get()) !== last.current) redraw();
    };
    check();
    return store.subscribe(check);
  }, [store]);
  return last.current;
}
