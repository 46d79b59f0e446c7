cpdef openai(object told)
