# bash completion for pawl; made by "pawl completion bash".
_pawl() {
	local IFS=$'\n' word=$2 words
	# bash breaks words at "="; what comes after is a value, and files will do.
	[[ $word == = || $3 == = ]] && return
	words=("${COMP_WORDS[@]:1:COMP_CWORD-1}" "$word")
	COMPREPLY=($("$1" complete -- "${words[@]}" 2>/dev/null))
}
complete -o default -F _pawl pawl
