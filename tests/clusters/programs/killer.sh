#!/bin/sh
# Stands in place of a submit command, first on the PATH, and kills the controller at a chosen moment, WHEN or
# WHEN:SECONDS, of its next submission. The controller's process is named in $KILLER_PLACE/controller.
#   before   instead of the command
#   orphan   before the command, which is executed all the same
#   late     the same, but the command is executed only some seconds later
#   with     together with the command, after some seconds
#   during   after some seconds, while the command goes on
#   after    after the command, whose answer nobody sees
#   told     after the command has answered
#   mute     nobody is killed, but the command never answers
name=${0##*/}
IFS=:
for folder in $PATH; do
    [ "$folder" -ef "${0%/*}" ] || [ ! -x "$folder/$name" ] || { real=$folder/$name; break; }
done
unset IFS
echo "$$" >>"$KILLER_PLACE/submissions"
when=${KILLER_WHEN%%:*} seconds=${KILLER_WHEN#*:}
# Once a time: whoever starts the controller arms this.
if [ -z "$when" ] || ! mv "$KILLER_PLACE/armed" "$KILLER_PLACE/.armed" 2>/dev/null; then
    exec "$real" "$@"
fi

# A command in the background would get /dev/null for its input, which may hold the job's script.
exec 3<&0

kill_controller() { kill -9 "$(cat "$KILLER_PLACE/controller")"; }

case $when in
    before) kill_controller ;;
    orphan) kill_controller; exec "$real" "$@" >/dev/null 2>&1 ;;
    late) kill_controller; sleep "$seconds"; exec "$real" "$@" >/dev/null 2>&1 ;;
    with) "$real" "$@" <&3 >/dev/null 2>&1 & sleep "$seconds"; kill_controller; kill -9 $! ;;
    during) "$real" "$@" <&3 >/dev/null 2>&1 & sleep "$seconds"; kill_controller; wait ;;
    after) "$real" "$@" >/dev/null 2>&1; kill_controller ;;
    told) "$real" "$@"; kill_controller ;;
    mute) "$real" "$@" >/dev/null 2>&1; exec sleep 1000 ;;
esac
